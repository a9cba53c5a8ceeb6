"""POST /predict: every kind of body, the shape of the answer, and the numbers against an independent network."""
import io
import json

import numpy as np
import pytest
from PIL import Image

from .daemon import SANITIZED, ROOT, Daemon
from .pictures import BODY_KINDS, CURL, FORM, b64, form, jpeg, picture, pixel_list, png, to_json
from .reference import Network, read_safetensors

FIXTURES = ROOT / "tests" / "fixtures" / "images"
LABELS = [str(i) for i in range(10)]


def check_prediction(prediction: dict, labels: list[str] = LABELS) -> None:
    p = prediction["probabilities"]
    assert list(p) == labels
    assert all(0 <= value <= 1 for value in p.values())
    assert sum(p.values()) == pytest.approx(1, abs=1e-6)
    assert prediction["label"] == max(p, key=p.get)
    assert 0 <= prediction["confidence"] <= 1  # tests/e2e/test_calibration.py


@pytest.mark.core
@pytest.mark.parametrize("kind", BODY_KINDS)
def test_every_kind_of_body_gives_the_same_answer_for_the_same_digit(reader: Daemon, seven, kind):
    content_type, body = BODY_KINDS[kind]
    assert reader.predict(body(seven), content_type) == reader.predict(seven.tobytes())


@pytest.mark.core
def test_probabilities_sum_to_one_and_the_label_is_the_most_probable(reader: Daemon, digits):
    for image in digits.test_images[:20]:
        check_prediction(reader.predict(image.tobytes()))


@pytest.mark.core
def test_a_trained_model_reads_most_digits(reader: Daemon, digits):
    answer = reader.predict(digits.test_images[:200].tobytes())
    right = sum(p["label"] == str(l) for p, l in zip(answer["predictions"], digits.test_labels))
    assert right > (60 if SANITIZED else 150)  # a sanitized run's model has seen 500 digits only; chance is 20


@pytest.mark.core
def test_the_answer_carries_the_revision_as_a_number_and_as_etag(reader: Daemon, seven):
    model = reader.model()
    answer = reader.post("/predict", seven.tobytes())
    assert answer.ok()["revision"] == model["revision"]
    assert answer.ok()["step"] == model["step"]
    assert answer.header("ETag") == f'"r{model["revision"]}"'


def test_a_prediction_is_not_to_be_cached_or_sniffed(reader: Daemon, seven):
    answer = reader.post("/predict", seven.tobytes())
    assert answer.header("Cache-Control") == "no-store"
    assert answer.header("X-Content-Type-Options") == "nosniff"
    assert answer.header("Cross-Origin-Resource-Policy") == "same-origin"


@pytest.mark.parametrize("top", [1, 3, 10, 1000])
def test_top_gives_so_many_of_the_most_probable_best_first(reader: Daemon, seven, top):
    whole = reader.predict(seven.tobytes())
    answer = reader.predict(seven.tobytes(), query=f"?top={top}")
    best = sorted(whole["probabilities"].items(), key=lambda item: -item[1])[:top]
    assert list(answer["probabilities"].items()) == best
    assert answer["label"] == whole["label"] and answer["confidence"] == whole["confidence"]


@pytest.mark.parametrize("top", ["0", "-1", "1.5", "abc", "", "1000000", "99999999999999999999"])
def test_a_top_that_is_no_count_is_refused(reader: Daemon, seven, top):
    problem = reader.post(f"/predict?top={top}", seven.tobytes()).problem(422, "value")
    assert "top" in problem["detail"]


def test_an_unknown_query_parameter_is_refused(reader: Daemon, seven):
    problem = reader.post("/predict?tpo=3", seven.tobytes()).problem(422, "value")
    assert "tpo" in problem["detail"]


def singles(reader: Daemon, images) -> list[dict]:
    answers = [reader.predict(image.tobytes()) for image in images]
    return [{k: a[k] for k in ("label", "confidence", "probabilities")} for a in answers]


@pytest.mark.core
def test_a_raw_batch_is_answered_image_by_image_in_order(reader: Daemon, digits):
    images = digits.test_images[:7]
    answer = reader.predict(images.tobytes())
    assert set(answer) == {"predictions", "step", "revision"}
    assert answer["predictions"] == singles(reader, images)


def test_a_raw_batch_is_found_by_its_length_whatever_its_type(reader: Daemon, digits):
    images = digits.test_images[:3]
    assert reader.predict(images.tobytes(), CURL)["predictions"] == singles(reader, images)


def test_json_images_are_answered_in_order(reader: Daemon, digits):
    images = digits.test_images[:3]
    body = to_json({"images": [pixel_list(images[0]), b64(png(images[1])), b64(images[2].tobytes())]})
    assert reader.predict(body, "application/json")["predictions"] == singles(reader, images)


def test_one_image_in_a_list_is_answered_as_a_list(reader: Daemon, seven):
    answer = reader.predict(to_json({"images": [pixel_list(seven)]}), "application/json")
    assert answer["predictions"] == singles(reader, [seven])


def test_ndjson_is_answered_line_by_line(reader: Daemon, digits):
    images = digits.test_images[:3]
    body = b"\n".join(to_json({"image": pixel_list(image)}) for image in images)
    assert reader.predict(body, "application/x-ndjson")["predictions"] == singles(reader, images)


def test_a_form_of_files_is_answered_with_their_names(reader: Daemon, digits):
    images = digits.test_images[:3]
    body = form(("a", "a.png", png(images[0])), ("b", "b ä.png", png(images[1])), ("a", "c.raw", images[2].tobytes()))
    predictions = reader.predict(body, FORM)["predictions"]
    assert [p.pop("file") for p in predictions] == ["a.png", "b ä.png", "c.raw"]
    assert predictions == singles(reader, images)


def test_a_large_batch_is_answered_whole(reader: Daemon, digits):
    images = np.resize(digits.test_images, (1000, 28, 28))
    answer = reader.predict(images.tobytes())
    assert len(answer["predictions"]) == 1000
    assert answer["predictions"][:3] == singles(reader, images[:3])
    assert answer["predictions"][-1:] == singles(reader, images[-1:])


# ---- pictures of every kind ----

SIZES = [(1, 1), (1, 300), (300, 1), (5, 7), (27, 29), (64, 48), (1000, 700)]


@pytest.mark.parametrize("width, height", SIZES)
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_a_png_of_any_size_and_colour_is_fitted(reader: Daemon, noise, width, height, mode):
    pixels = noise.integers(0, 256, (height, width, 3), np.uint8)
    check_prediction(reader.predict(picture(pixels, "PNG", mode), "image/png"))


@pytest.mark.parametrize("width, height", SIZES)
@pytest.mark.parametrize("mode, options", [("L", {}), ("RGB", {}), ("RGB", {"progressive": True}),
                                           ("RGB", {"subsampling": 0})])
def test_a_jpeg_of_any_size_and_colour_is_fitted(reader: Daemon, noise, width, height, mode, options):
    pixels = noise.integers(0, 256, (height, width, 3), np.uint8)
    check_prediction(reader.predict(picture(pixels, "JPEG", mode, **options), "image/jpeg"))


@pytest.mark.parametrize("name", ["grey1.png", "grey2.png", "grey4.png", "grey8.png", "grey16.png",
                                  "grey1-interlaced.png",
                                  "grey-alpha8.png", "grey-alpha16.png", "rgb8.png", "rgb16.png", "rgba8.png",
                                  "rgba16.png",
                                  "rgba8-interlaced.png", "rgb8-trns.png", "grey16-trns.png", "palette1.png",
                                  "palette4-trns.png", "palette8.png", "palette8-interlaced.png", "gamma.png",
                                  "colour.jpg", "colour-420.jpg", "grey.jpg", "progressive.jpg", "one-pixel.png",
                                  "one-pixel.jpg", "cmyk.jpg", "lossy.webp", "lossless.webp"])
def test_a_picture_of_every_variety_is_read(reader: Daemon, name):
    check_prediction(reader.predict((FIXTURES / name).read_bytes(), None))


def picture_of(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()


def grey_to(mode: str):
    return lambda image: picture(image, "PNG", mode)


def sixteen_bits(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image.astype(np.uint16) * 257).save(out, "PNG")
    return out.getvalue()


def palette(image: np.ndarray) -> bytes:
    indexed = Image.fromarray(255 - image, "P")
    indexed.putpalette([v for i in range(256) for v in [255 - i] * 3])
    out = io.BytesIO()
    indexed.save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("encode", [grey_to("RGB"), grey_to("RGBA"), grey_to("LA"), sixteen_bits, palette],
                         ids=["RGB", "RGBA", "LA", "16 bits", "palette"])
def test_the_same_grey_in_another_png_colour_type_gives_the_same_answer(reader: Daemon, seven, encode):
    assert reader.predict(encode(seven), "image/png") == reader.predict(seven.tobytes())


@pytest.mark.parametrize("times", [2, 3, 10])
def test_a_picture_that_is_larger_by_a_whole_factor_gives_the_same_answer(reader: Daemon, seven, times):
    large = np.kron(seven, np.ones((times, times), np.uint8))
    assert reader.predict(png(large), "image/png") == reader.predict(seven.tobytes())


def test_ink_on_a_transparent_ground_is_read_as_on_black(reader: Daemon, seven):
    ink = np.dstack([np.full_like(seven, 255)] * 3 + [seven])
    assert reader.predict(png(ink), "image/png") == reader.predict(seven.tobytes())


def test_a_jpeg_of_a_digit_is_read_nearly_as_its_png(reader: Daemon, seven):
    a = reader.predict(jpeg(seven, quality=98), "image/jpeg")["probabilities"]
    b = reader.predict(seven.tobytes())["probabilities"]
    assert max(abs(a[label] - b[label]) for label in a) < 0.05


@pytest.mark.parametrize("width, height", [(5712, 4284), (8064, 6048)], ids=["24 megapixels", "48 megapixels"])
def test_a_photograph_of_a_telephone_is_seen_as_the_same_one_made_smaller(reader: Daemon, seven, width, height):
    drawn = Image.fromarray(seven).resize((width * 28 // height, 28))
    large = reader.predict(picture_of(drawn.resize((width, height), Image.BOX)), "image/jpeg")["probabilities"]
    small = reader.predict(picture_of(drawn.resize((width // 16, height // 16), Image.BOX)), "image/jpeg")["probabilities"]
    assert max(abs(large[label] - small[label]) for label in large) < 0.05


# ---- how pictures are fitted: model options ----

def test_invert_auto_reads_dark_ink_on_light_paper(daemon: Daemon, seven):
    white_on_black = daemon.predict(seven.tobytes())["probabilities"]
    assert daemon.predict(png(255 - seven), "image/png")["probabilities"] != white_on_black
    daemon.send_json("PATCH", "/model", {"invert": "auto"}).ok()
    assert daemon.predict(png(255 - seven), "image/png")["probabilities"] == white_on_black
    assert daemon.predict(png(seven), "image/png")["probabilities"] == white_on_black


def test_invert_never_touches_raw_bodies(daemon: Daemon, seven):
    before = daemon.predict((255 - seven).tobytes())["probabilities"]
    daemon.send_json("PATCH", "/model", {"invert": "always"}).ok()
    assert daemon.predict((255 - seven).tobytes())["probabilities"] == before
    assert daemon.predict(png(255 - seven),
                          "image/png")["probabilities"] == daemon.predict(seven.tobytes())["probabilities"]


def test_fit_stretch_scales_both_sides_on_their_own(daemon: Daemon, seven):
    daemon.send_json("PATCH", "/model", {"fit": "stretch"}).ok()
    tall = np.repeat(seven, 3, axis=0)
    assert daemon.predict(png(tall), "image/png") == daemon.predict(seven.tobytes())


def test_fit_cover_cuts_the_middle_out(daemon: Daemon, seven):
    daemon.send_json("PATCH", "/model", {"fit": "cover"}).ok()
    wide = np.full((28, 68), 200, np.uint8)
    wide[:, 20:48] = seven
    assert daemon.predict(png(wide), "image/png") == daemon.predict(seven.tobytes())


def test_fit_contain_keeps_the_whole_picture_and_fills_with_its_border(daemon: Daemon, seven):
    daemon.send_json("PATCH", "/model", {"fit": "contain"}).ok()
    wide = np.zeros((28, 56), np.uint8)
    wide[:, 14:42] = seven
    halved = wide.astype(int).reshape(14, 2, 28, 2).sum(axis=(1, 3))
    expected = np.zeros((28, 28), np.uint8)
    expected[7:21] = (halved + 2) // 4
    assert daemon.predict(png(wide), "image/png") == daemon.predict(expected.tobytes())


@pytest.mark.parametrize("paper, pen", [((235, 228, 210), (45, 50, 90)), ((40, 70, 55), (220, 220, 210))], ids=["pen", "chalk"])
@pytest.mark.parametrize("fit, share, x, y", [("content", .7, .5, .5), ("content", .5, .1, .8), ("auto", .33, .9, .1)])
def test_a_photographed_digit_is_read_wherever_it_is(daemon: Daemon, digits, paper, pen, fit, share, x, y):
    daemon.send_json("PATCH", "/model", {"fit": fit}).ok()
    right = 0
    for i in range(10):
        side = int(300 * share * 28 / 20)
        ink = np.zeros((400, 300, 1))
        glyph = np.asarray(Image.fromarray(digits.test_images[i]).resize((side, side), Image.BICUBIC)) / 255
        left, top = int((300 - side) * x), int((400 - side) * y)
        ink[top:top + side, left:left + side, 0] = np.clip(3 * glyph - 1, 0, 1)
        light = np.linspace(.7, 1, 300)[None, :, None]
        pixels = (np.array(paper) * (1 - ink) + np.array(pen) * ink) * light + np.random.default_rng(i).normal(0, 4, (400, 300, 3))
        photograph = picture_of(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)))
        seen = daemon.predict(digits.test_images[i].tobytes())["label"]
        right += daemon.predict(photograph, "image/jpeg")["label"] == seen
    assert right >= 8


def test_fit_auto_is_content_only_for_photographed_drawings_where_drawings_were_taught(daemon: Daemon, seven):
    assert daemon.model()["settings"]["fit"] == "auto" and daemon.model()["drawings"] is True
    small = np.zeros((84, 84), np.uint8)
    small[:28, :28] = seven  # light on black: where it is counts

    def by(fit: str, image: np.ndarray):
        daemon.send_json("PATCH", "/model", {"fit": fit}).ok()
        return daemon.predict(png(image), "image/png")["probabilities"]
    assert by("auto", small) == by("contain", small) != by("content", small)
    paper = 250 - small // 2
    assert by("auto", paper) == by("content", paper) != by("contain", paper)


def test_fit_auto_is_contain_where_photographs_were_taught(daemons):
    noise = np.random.default_rng(1)
    daemon = daemons.start(daemons.init("--fit", "auto"))
    for label in "ab":
        daemon.train(label, noise.integers(1, 256, (20, 8, 8), np.uint8).tobytes()).ok()
    assert daemon.model()["drawings"] is False
    paper = png(noise.integers(200, 256, (90, 60), np.uint8))
    auto = daemon.predict(paper, "image/png")["probabilities"]
    daemon.send_json("PATCH", "/model", {"fit": "contain"}).ok()
    assert daemon.predict(paper, "image/png")["probabilities"] == auto


# ---- the numbers ----

def reference_of(daemon: Daemon) -> Network:
    answer = daemon.get("/model.safetensors")
    assert answer.status == 200
    return Network(*read_safetensors(answer.body))


@pytest.mark.core
def test_predictions_agree_with_a_float64_network_on_digits(reader: Daemon, digits):
    network = reference_of(reader)
    images = digits.test_images[:100]
    for image, prediction in zip(images, reader.predict(images.tobytes())["predictions"]):
        expected = network.predict(image[None])
        np.testing.assert_allclose(list(prediction["probabilities"].values()), expected, rtol=1e-5, atol=1e-7)


GEOMETRIES = {
    "colour, stride 2, mean and deviation": ["--normalize", "std", "--width", "13", "--height", "9", "--channels", "3", "--kernels", "5", "--kernel-width", "4",
                         "--kernel-height", "3", "--stride", "2", "--hidden", "17", "--classes", "cat,dog,ä,d,e,f,g"],
    "no kernels, mean alone": ["--normalize", "mean", "--kernels", "0", "--width", "11", "--height", "6", "--hidden", "33"],
    "one kernel as large as the input": ["--kernels", "1", "--kernel-width", "8", "--kernel-height", "8"],
    "mean of zero": ["--mean", "0", "--kernels", "20", "--kernel-width", "1", "--kernel-height", "5"],
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_predictions_agree_with_a_float64_network_of_another_geometry(daemons, noise, name):
    daemon = daemons.start(daemons.init(*GEOMETRIES[name]))
    model, network = daemon.model(), reference_of(daemon)
    shape = model["channels"], model["height"], model["width"]
    for _ in range(10):
        image = noise.integers(0, 256, shape, np.uint8)
        prediction = daemon.predict(image.tobytes())
        check_prediction(prediction, model["classes"])
        np.testing.assert_allclose(list(prediction["probabilities"].values()), network.predict(image), rtol=1e-5,
                                   atol=1e-7)


@pytest.mark.parametrize("gradient", ["diagonal", "jacobian"])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_training_follows_a_float64_gradient_descent(daemons, noise, name, gradient):
    daemon = daemons.start(daemons.init(*GEOMETRIES[name], "--gradient", gradient, "--rate", "0.2"))
    model, network = daemon.model(), reference_of(daemon)
    assert network.gradient == gradient and network.rate == pytest.approx(0.2)
    shape = model["channels"], model["height"], model["width"]
    for _ in range(40):
        image = noise.integers(0, 256, shape, np.uint8)
        label = int(noise.integers(0, len(model["classes"])))
        answer = daemon.train(model["classes"][label], image.tobytes()).ok()
        assert answer["loss"] == pytest.approx(network.step(image, label), rel=1e-4, abs=1e-7)
    after = reference_of(daemon)
    for name_ in ("k", "w01", "w12"):
        got, expected = getattr(after, name_), getattr(network, name_)
        if expected is not None:
            assert np.linalg.norm(got - expected) <= 1e-5 * np.linalg.norm(expected), name_


def test_reference_training_on_digits_agrees_too(daemon: Daemon, digits):
    network = reference_of(daemon)
    images, labels = digits.test_images[:50], digits.test_labels[:50]
    query = ",".join(map(str, labels))
    answer = daemon.post(f"/train?labels={query}", images.tobytes()).ok()
    losses = [network.step(image[None], int(label)) for image, label in zip(images, labels)]
    assert answer["loss"] == pytest.approx(np.mean(losses), rel=1e-4)
    after = reference_of(daemon)
    for name in ("k", "w01", "w12"):
        got, expected = getattr(after, name), getattr(network, name)
        assert np.linalg.norm(got - expected) <= 1e-5 * np.linalg.norm(expected), name


def test_the_answer_to_a_prediction_is_one_line_of_json(reader: Daemon, seven):
    body = reader.post("/predict", seven.tobytes()).body
    assert body.endswith(b"}\n") and body.count(b"\n") == 1
    json.loads(body)
