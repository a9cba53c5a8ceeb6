"""The nodes of a shared log."""
from e2e.cluster import Cluster, images

from .page import Page, until


def rows(page: Page) -> list[list[str]]:
    return page.run("return [...document.querySelectorAll('[aria-label=Nodes] tbody tr')].map((r) => [...r.children].map((c) => c.innerText))")


def test_a_model_of_its_own_has_no_part_for_nodes(page: Page):
    assert not page.all(".places a[href='#nodes']")


def test_all_nodes_are_seen_from_any_of_them(open_page, daemons, cluster, digits):
    shared: Cluster = cluster(daemons.copy())
    first, second = shared.node(), shared.node()
    page: Page = open_page(second)
    page.go("Nodes")
    first.train("7", digits.one(7).tobytes()).ok()
    revision = f"{first.model()['revision']:,}"
    until(lambda: rows(page) == [["a", revision, "0", "now", "nothing yet"], ["b (this one)", revision, "0", "now", "nothing yet"]], "both are where the log is")
    page.says(".figures", f"This node b at revision {revision}")
    page.says(".figures", "Behind the log not at all")
    page.says(".figures", "primary")
    page.picture("nodes", whole=True)
    page.size(390, 844, mobile=True)
    page.picture("nodes-telephone", whole=True)


def test_a_log_that_cannot_be_reached_is_told(open_page, daemons, cluster, postgres):
    shared: Cluster = cluster(daemons.copy())
    page: Page = open_page(shared.node())
    page.go("Nodes")
    until(lambda: len(rows(page)) == 1, "the node is seen")
    postgres.end()
    try:
        page.says(".warnings", "Predictions go on, but nothing is learned: the shared log cannot be reached")
        page.picture("nodes-unreachable", whole=True)
    finally:
        postgres.start()


def test_what_was_compared_is_shown_and_a_node_that_differs_says_so(open_page, cluster, postgres):
    """It makes its model anew once; who differs after that stays off."""
    shared: Cluster = cluster()
    for revision in (256, 512):
        postgres.sql(f"INSERT INTO convd.digest (revision, digest) VALUES ({revision}, decode(repeat('00', 32), 'hex'))", shared.name)
    node = shared.node()
    page: Page = open_page(node)
    page.go("Nodes")
    with node.client() as client:
        def trained(revision: int) -> bool:
            client.post("/train?label=a", images(1).tobytes())
            return node.model()["revision"] >= revision
        until(lambda: trained(300), "the first of them is mended")
        same = until(lambda: node.get("/cluster").ok()["same"], "it was compared")
        page.says(".figures", f"Compared {same['digest'][:8]} at revision 256 no node told another")
        until(lambda: trained(512), "the second")
    page.says(".warnings", "Predictions go on, but nothing is learned: this node has another state")
    page.picture("nodes-diverged", whole=True)
    other: Page = open_page(shared.node())
    other.go("Nodes")
    digest = node.model()["digest"]
    until(lambda: rows(other) and [*rows(other)[0][:3], rows(other)[0][4]] == ["a diverged", "512", "0", f"{digest[:8]} at 512"], "any of them shows it")
    other.picture("nodes-other-diverged", whole=True)
    other.size(390, 844, mobile=True)
    other.picture("nodes-other-diverged-telephone", whole=True)
