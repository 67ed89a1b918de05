"""The differences of two DAGs as lines, in the manner of `spack diff`.

That command lists, by attribute, what is true of only one of the two, whichever node it is of. The
attributes are called as there, as far as it knows them.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, zip_longest

from web.spack.dags import Dags, Node
from web.spack.differences import Differences, Pair, names_compiler, values

FACTS = {
    "namespace": "namespace",
    "version": "version",
    "compiler": "compiler",
    "node_os": "os",
    "node_platform": "platform",
    "node_target": "target",
    "variant_value": "variants",
    "node_flag": "flags",
    "build_spec": "build_spec",
    "external": "external",
}
"""What the attributes of nodes are called elsewhere."""

NOTHING = {("none",), ("no",)}
"""Values that say that there is nothing, of which there is no line."""

ATTRIBUTES = ("node", *FACTS, "depends_on", "virtual_on_edge", "hash")

Told = dict[tuple[str, str], set[str] | None]
"""What is true of the nodes of a DAG, by attribute and package; None where it is not known."""


def diff_text(dags: Dags, differences: Differences, pair: Pair) -> str:
    """Return what is true of only one of two DAGs, a line each."""
    # What is below a node is no difference where nobody knows what is below the other.
    pairs = differences.pairs(pair)
    ends = [{one[side] for one in pairs if _is_open(dags[one[1 - side]])} for side in (0, 1)]
    told = [_told(dags.below(root, ends[side])) for side, root in enumerate(pair)]
    names = [f"{dags[root].name}/{root[:7]}" for root in pair]
    lines = [f"--- {names[0]}", f"+++ {names[1]}", *_sections(*told)]
    if differences.is_cut:
        lines.append("# There is more below them than is compared here.")
    return "\n".join(lines) + "\n"


def _sections(a: Told, b: Told) -> Iterator[str]:
    for attribute in ATTRIBUTES:
        removed, added = _only_in(attribute, a, b), _only_in(attribute, b, a)
        if removed or added:
            yield f"@@ {attribute} @@"
        pairs = zip_longest([f"-  {line}" for line in removed], [f"+  {line}" for line in added])
        yield from filter(None, chain.from_iterable(pairs))


def _only_in(
    attribute: str, told: Told, others: Mapping[tuple[str, str], set[str] | None]
) -> list[str]:
    found: list[str] = []
    for (name, package), known in told.items():
        other = others.get((name, package), set())
        if name == attribute and known is not None and other is not None:
            found.extend(f"{package} {value}".rstrip() for value in known - other)
    return sorted(found)


def _told(nodes: Iterable[Node]) -> Told:
    told: Told = {}
    for node in nodes:
        for attribute, known in _facts(node):
            key = (attribute, node.package)
            before = told.get(key, set())
            told[key] = None if before is None or known is None else before | set(known)
    return told


def _facts(node: Node) -> Iterator[tuple[str, Iterable[str] | None]]:
    yield "node", [""]
    yield "hash", [node.hash]
    for attribute, fact in FACTS.items():
        known = None if fact == "compiler" and names_compiler(node) else values(node, fact)
        yield attribute, () if known in NOTHING else known
    if _is_open(node):
        yield from (("depends_on", None), ("virtual_on_edge", None))
        return
    edges = node.edges or ()
    needed = [(edge.package, purpose) for edge in edges for purpose in edge.purposes]
    provided = [(edge.package, virtual) for edge in edges for virtual in edge.virtuals]
    yield "depends_on", [" ".join(each) for each in needed]
    yield "virtual_on_edge", [" ".join(each) for each in provided]


def _is_open(node: Node) -> bool:
    """Tell whether a node may depend on more than is known; an external one brings its own."""
    return node.edges is None and node.kind != "external"
