"""KV blocks one by one, for reading: what vLLM's `BlockPool` does, prefix caching included.

A block that has been computed to its last token is known by its content: the tokens up to its end, and the adapter that
computed them. It keeps that when nobody uses it any more, until it is reused for something else. Free blocks are in a
queue: the first is the next to be reused.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence


class BlockPool:
    """All KV blocks of a server, by number."""

    def __init__(self, blocks: int, *, unhashed_first: bool) -> None:
        self.unhashed_first = unhashed_first
        self.free = OrderedDict.fromkeys(range(blocks))
        self.users = [0] * blocks
        self.content: list[Hashable | None] = [None] * blocks
        self.known: dict[Hashable, int] = {}
        """Blocks by their content. No two have the same: the twin's requests end their prompts with a token of their
        own, so whatever is there is found."""

    def find(self, contents: Iterable[Hashable]) -> list[int]:
        """The blocks of the longest beginning that is there."""
        found = []
        for content in contents:
            if content not in self.known:
                break
            found.append(self.known[content])
        return found

    def unused(self, blocks: Iterable[int]) -> int:
        """How many of these blocks are in the queue, and thus counted as free."""
        return sum(self.users[block] == 0 for block in blocks)

    def use(self, blocks: Iterable[int]) -> None:
        """Another request uses these blocks, which it has found."""
        for block in blocks:
            self.free.pop(block, None)
            self.users[block] += 1

    def take(self, count: int) -> list[int]:
        """Reuse so many free blocks: nobody finds their content any more."""
        taken = [self.free.popitem(last=False)[0] for _ in range(count)]
        for block in taken:
            if (content := self.content[block]) is not None:
                del self.known[content]
            self.content[block] = None
            self.users[block] = 1
        return taken

    def keep(self, block: int, content: Hashable) -> None:
        """The block is full, and known by its content from now on."""
        assert content not in self.known
        self.content[block] = content
        self.known[content] = block

    def give_back(self, blocks: Sequence[int]) -> None:
        """A request has done with its blocks; its last ones are reused before its first ones."""
        for block in reversed(blocks):
            self.users[block] -= 1
            if self.users[block] == 0:
                self.free[block] = None
                if self.unhashed_first and self.content[block] is None:
                    self.free.move_to_end(block, last=False)
