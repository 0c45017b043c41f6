"""Decision trees as a Go template writes them: chains of if and else."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from quantize.ollama.templates.decisions import Branch, Leaf, T, Tree, mapped, shared_text
from quantize.ollama.templates.features import Test
from quantize.ollama.templates.go_conditions import Condition, When, all_of, any_of, negated
from quantize.ollama.templates.go_writer import Writer


class TreeWriter:
    """Writes trees with a `Writer`; `condition` is how a template asks for a test."""

    def __init__(self, writer: Writer, condition: Callable[[Test], Condition]) -> None:
        self._writer = writer
        self._condition = condition

    def text(self, tree: Tree[str]) -> None:
        """One of the tree's texts; what many of them share is written once."""
        if isinstance(tree, Leaf):
            self._writer.text(tree.value)
            return
        prefix, suffix = shared_text(tree)
        if prefix:
            self._writer.text(prefix)
        rest = mapped(tree, lambda text: text[len(prefix) : len(text) - len(suffix)])
        self._branch(rest, self.text, "")
        if suffix:
            self._writer.text(suffix)

    def choice(self, tree: Tree[T], write: Callable[[T], None]) -> None:
        """What one leaf says, chosen where the template runs."""
        if isinstance(tree, Leaf):
            write(tree.value)
        else:
            self._branch(tree, lambda some: self.choice(some, write))

    def _branch(
        self, tree: Tree[T], write: Callable[[Tree[T]], None], empty: T | None = None
    ) -> None:
        """A chain of if and else. Of a leaf that is `empty` nothing is written."""
        word = "if"
        while isinstance(tree, Branch):
            condition, yes, no = self._condition(tree.test), tree.yes, tree.no
            if yes == Leaf(empty):
                condition, yes, no = negated(condition), no, yes
                if isinstance(yes, Branch) and yes.no == no:
                    condition = all_of([condition, self._condition(yes.test)])
                    yes = yes.yes
            self._writer.code(f"{word} {_go(condition)}")
            write(yes)
            tree, word = no, "else if"
        if tree != Leaf(empty):
            self._writer.code("else")
            write(tree)
        self._writer.code("end")

    def where(self, tree: Tree[bool]) -> Condition:
        """Where a tree says True."""
        return any_of(all_of(path) for path in self._paths(tree, []))

    def _paths(self, tree: Tree[bool], so_far: list[Condition]) -> Iterator[list[Condition]]:
        """The conditions on the way to each leaf that is True."""
        if isinstance(tree, Branch):
            condition = self._condition(tree.test)
            yield from self._paths(tree.yes, [*so_far, condition])
            yield from self._paths(tree.no, [*so_far, negated(condition)])
        elif tree.value:
            yield so_far


def _go(condition: Condition) -> str:
    if not isinstance(condition, When):
        raise TypeError(f"{condition} needs no if")
    return condition.go
