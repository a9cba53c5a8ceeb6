"""From a picture to the network's input as convd does it, for models that run elsewhere: server/image/image.h has the steps.

Needs numpy and Pillow. Only whole numbers are added and divided, so the pixels are convd's own, for every PNG of 8 bits a
channel; a JPEG may differ by a rounding of its decoder.
"""
import numpy as np
from PIL import Image, ImageOps


def grey(rgb: np.ndarray) -> np.ndarray:
    return (299 * rgb[..., 0] + 587 * rgb[..., 1] + 114 * rgb[..., 2] + 500) // 1000


def border(plane: np.ndarray) -> np.ndarray:
    """The outermost pixels, each once."""
    inside = np.zeros(plane.shape[:2], bool)
    inside[1:-1, 1:-1] = True
    return plane[~inside]


def is_dark_on_light(rgba: np.ndarray) -> bool:
    tone, alpha = border(grey(rgba)), border(rgba[..., 3])
    if 2 * alpha.sum() >= 255 * alpha.size:
        return bool(2 * (tone * alpha).sum() > 255 * alpha.sum())
    tone, alpha = grey(rgba), rgba[..., 3]
    return bool(2 * (tone * alpha).sum() < 255 * alpha.sum())


def ink_ground(rgba: np.ndarray) -> int | None:
    """What ink of one colour on a transparent ground is laid over; None where it is something else."""
    rgb, alpha = rgba[..., :3], rgba[..., 3:]
    if alpha.sum() == 0 or alpha.min() == 255:
        return None
    mean = (rgb * alpha).sum(axis=(0, 1)) // alpha.sum()
    if (np.abs(rgb - mean) * alpha).max() > 16 * 255:
        return None
    return 255 if grey(mean) < 128 else 0


def laid(rgba: np.ndarray, ground: int) -> np.ndarray:
    rgb, alpha = rgba[..., :3], rgba[..., 3:]
    return np.concatenate([(rgb * alpha + ground * (255 - alpha) + 127) // 255, np.full_like(alpha, 255)], axis=2)


def planes_of(rgba: np.ndarray, channels: int, inverted: bool) -> np.ndarray:
    """[height][width][channels]"""
    rgb, alpha = (laid(rgba, 255 if inverted else 0) if channels in (1, 3) else rgba)[..., :3], rgba[..., 3:]
    colour = grey(rgb)[..., None] if channels <= 2 else rgb
    return np.concatenate([colour, alpha], axis=2) if channels in (2, 4) else colour


def scaled(a: int, b: int, c: int, most: int) -> int:
    return min(most, max(1, (2 * a * b + c) // (2 * c)))


def overlaps(target: int, source: int) -> np.ndarray:
    """[target][source]: how much of each pixel lies under which, in units of 1 / target pixel."""
    x, i = np.arange(target)[:, None], np.arange(source)[None, :]
    return np.maximum(0, np.minimum((i + 1) * target, (x + 1) * source) - np.maximum(i * target, x * source))


def fit(picture: Image.Image, width: int, height: int, channels: int = 1, fit: str = "contain", invert: str = "never") -> np.ndarray:
    """uint8 [channels][height][width]"""
    rgba = np.asarray(ImageOps.exif_transpose(picture).convert("RGBA")).astype(np.int64)
    ground = ink_ground(rgba) if channels in (1, 3) else None
    if ground is not None:
        rgba = laid(rgba, ground)
    inverted = invert == "always" or (invert == "auto" and is_dark_on_light(rgba))
    planes = planes_of(rgba, channels, inverted)
    h, w = planes.shape[:2]
    source_w, source_h, target_w, target_h = w, h, width, height
    wide = w * height > h * width
    if fit in ("content", "auto"):  # photographed drawings are cut out by convd alone: give this the drawing
        fit = "contain"
    if fit == "contain" and wide:
        target_h = scaled(h, width, w, height)
    elif fit == "contain":
        target_w = scaled(w, height, h, width)
    elif fit == "cover" and wide:
        source_w = scaled(h, width, height, w)
    elif fit == "cover":
        source_h = scaled(w, height, width, h)
    x, y = (w - source_w) // 2, (h - source_h) // 2
    cut = planes[y:y + source_h, x:x + source_w]
    sums = np.einsum("yi,ijc,xj->yxc", overlaps(target_h, source_h), cut, overlaps(target_w, source_w), optimize=True)
    area = source_w * source_h
    edge = border(planes)
    out = np.empty((height, width, channels), np.int64)
    out[:] = (2 * edge.sum(axis=0) + len(edge)) // (2 * len(edge))
    x, y = (width - target_w) // 2, (height - target_h) // 2
    out[y:y + target_h, x:x + target_w] = (2 * sums + area) // (2 * area)
    if inverted:
        out[..., :channels - (channels in (2, 4))] = 255 - out[..., :channels - (channels in (2, 4))]
    return out.astype(np.uint8).transpose(2, 0, 1)
