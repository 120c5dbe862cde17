"""What a store of tests shows of its server's standing, as it was told last."""

from __future__ import annotations

from csp.process.standing import Standing


class FakeStanding:
    """The part of `StoreForOrigin` that shows it."""

    standing: Standing

    @property
    def serving(self) -> bool:
        return self.standing.serving

    @property
    def role(self) -> int:
        return self.standing.role

    def show_standing(self, standing: Standing) -> None:
        self.standing = standing
