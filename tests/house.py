"""Facts about the code's layout: rooms, import chains, circles, lengths.

    python tests/house.py [CHECKOUT]

A room is a module or folder directly below a package. Imports count where they run when a module is
loaded: not those inside functions, nor those for type checkers only.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median, quantiles

PACKAGES = {
    "echo_edge": ".",
    "echo_edge_export": "export",
    "training": ".",
    "benchmarks": ".",
}
"""Package -> the folder that it stands in."""
MAX_FILE_LINES, MAX_CLASS_LINES = 300, 200

Imports = Mapping[str, set[str]]


def read(checkout: Path) -> dict[str, ast.Module]:
    """Syntax trees by module name; a package's `__init__` goes by the package's name."""
    trees = {}
    for package, parent in PACKAGES.items():
        root = checkout / parent
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            trees[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return trees


def loaded(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports that run when the module is loaded."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from loaded(node)


def imports(trees: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """Module -> the modules of ours that it loads."""
    found: dict[str, set[str]] = {name: set() for name in trees}
    folders = {name.rpartition(".")[0] for name in trees}
    for name, tree in trees.items():
        for node in loaded(tree):
            if isinstance(node, ast.Import):
                targets = {alias.name for alias in node.names}
            else:
                up = node.level - (name in folders)
                above = ".".join(name.split(".")[: -up or None]) if node.level else ""
                source = ".".join(filter(None, [above, node.module]))
                below = {f"{source}.{alias.name}" for alias in node.names}
                targets = (below & trees.keys()) or {source}
            found[name] |= targets & trees.keys() - {name}
    return found


def circles(graph: Imports) -> list[set[str]]:
    """Groups of more than one node that all reach each other."""
    reach = {node: _reachable(graph, node) for node in graph}
    groups = {
        frozenset(other for other in reach[node] if node in reach[other]) | {node} for node in graph
    }
    return [set(group) for group in groups if len(group) > 1]


def _reachable(graph: Imports, start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for node in graph[waiting.pop()] - seen:
            seen.add(node)
            waiting.append(node)
    return seen


def longest_chain(graph: Imports) -> list[str]:
    """The longest way down. Imports within a circle do not count."""
    circle_of = {node: number for number, group in enumerate(circles(graph)) for node in group}
    best: dict[str, list[str]] = {}

    def chain(node: str) -> list[str]:
        if node not in best:
            group = circle_of.get(node, node)
            below = [each for each in graph[node] if circle_of.get(each, each) != group]
            best[node] = [node, *max((chain(each) for each in sorted(below)), key=len, default=[])]
        return best[node]

    return max((chain(node) for node in sorted(graph)), key=len, default=[])


def rooms_of(package: str, graph: Imports) -> dict[str, set[str]]:
    """The graph of a package's rooms."""

    def room(module: str) -> str:
        return module.split(".")[1]

    inside = {name for name in graph if name.startswith(f"{package}.")}
    rooms: dict[str, set[str]] = {room(name): set() for name in inside}
    for name in inside:
        others = {room(each) for each in graph[name] & inside}
        rooms[room(name)] |= others - {room(name)}
    return rooms


def arrows_up(rooms: Imports) -> list[tuple[str, str]]:
    """Imports between rooms that run in a circle: without them there is an order from top to
    bottom."""
    groups = circles(rooms)
    pairs = ((room, other) for room in sorted(rooms) for other in sorted(rooms[room]))
    return [pair for pair in pairs if any(group.issuperset(pair) for group in groups)]


def lengths(trees: Mapping[str, ast.Module], kind: type | tuple[type, ...]) -> dict[str, int]:
    """Lines of every definition of a kind, by module and name."""
    return {
        f"{name}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, kind) and isinstance(node, ast.ClassDef | ast.FunctionDef)
    }


def facts(checkout: Path) -> Iterator[str]:
    """One line per fact."""
    trees = read(checkout)
    graph = imports(trees)
    for package, parent in PACKAGES.items():
        own = {name: tree for name, tree in trees.items() if name.split(".")[0] == package}
        rooms = rooms_of(package, graph)
        folders = sum((checkout / parent / package / room).is_dir() for room in rooms)
        up = arrows_up(rooms)
        chain = longest_chain({name: graph[name] & own.keys() for name in own})
        functions = list(lengths(own, ast.FunctionDef).values())
        yield f"{package}"
        yield f"  rooms              {len(rooms)}, of which folders {folders}"
        yield f"  longest chain      {len(chain)} modules: {' > '.join(_short(chain))}"
        floors = longest_chain(rooms)
        yield f"  floors of rooms    {len(floors)}: {' > '.join(floors)}"
        yield f"  arrows up          {len(up)}{': ' if up else ''}{_pairs(up)}"
        yield (
            f"  function lines     median {median(functions):.0f}, "
            f"p95 {quantiles(functions, n=20)[-1]:.0f}, longest {max(functions)}"
        )
        files = {name: _n_lines(checkout / parent, name) for name in own}
        yield f"  files over {MAX_FILE_LINES}     {_over(files, MAX_FILE_LINES)}"
        classes = lengths(own, ast.ClassDef)
        yield f"  classes over {MAX_CLASS_LINES}   {_over(classes, MAX_CLASS_LINES)}"
    chain = longest_chain(graph)
    circular = sum(len(group) for group in circles(graph))
    yield f"all together: longest chain {len(chain)} modules, {circular} modules in circles"


def _short(chain: list[str]) -> list[str]:
    return [name.partition(".")[2] or name for name in chain]


def _pairs(pairs: list[tuple[str, str]]) -> str:
    return ", ".join(f"{one} > {other}" for one, other in pairs)


def _n_lines(root: Path, module: str) -> int:
    path = root.joinpath(*module.split("."))
    path = next(p for p in (path.with_suffix(".py"), path / "__init__.py") if p.exists())
    return len(path.read_text(encoding="utf-8").splitlines())


def _over(sizes: Mapping[str, int], limit: int) -> str:
    found = [f"{name} {size}" for name, size in sorted(sizes.items()) if size > limit]
    return ", ".join(found) or "none"


if __name__ == "__main__":
    print("\n".join(facts(Path(sys.argv[1] if len(sys.argv) > 1 else "."))))
