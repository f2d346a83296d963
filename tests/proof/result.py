"""What one layer of the proof reports: one row of the table that `make prove` prints."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """One history that broke an invariant, and the one command that plays it again."""

    invariant: str  # I1 … I15, or a sentence where none fits
    detail: str
    replay: str


@dataclass(frozen=True, slots=True)
class LayerResult:
    """Counts over all histories (or deaths) of a layer.

    `duplicated`: intents with more than one order at the venue. `lost`: intents that neither ended nor stand with a
    person. `orphaned`: orders that live at the venue and are called dead. `stuck`: not over within the bound.
    `is_baseline` marks rules of others, which are expected to fail and show that the faults are strong enough.
    """

    layer: str
    histories: int
    faults: int = 0
    kills: int = 0
    duplicated: int = 0
    lost: int = 0
    orphaned: int = 0
    stuck: int = 0
    to_person: int = 0
    mutants: int = 0
    mutants_killed: int = 0
    seconds: float = 0.0
    failures: tuple[Failure, ...] = ()
    is_baseline: bool = False

    @property
    def holds(self) -> bool:
        """Whether the layer proved what it must; a baseline proves nothing by itself."""
        if self.is_baseline:
            return True
        broken = self.duplicated or self.lost or self.orphaned or self.stuck or self.failures
        return not broken and self.mutants_killed * 100 >= self.mutants * 95
