"""What a demo leaves behind is its own, whatever else runs on the machine."""

from __future__ import annotations

from pathlib import Path

from csp.demo.stage import Stage
from csp.store import segment

PORT = 22020
OTHER, OWN = "others-32202022020-aa", f"demo-{PORT}-bb"


def test_segments_of_other_servers_are_not_named(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "secret", {"master": PORT, "proxy": PORT + 1})
    (tmp_path / "run" / OWN).mkdir(parents=True)
    for instance in (OTHER, OWN):
        segment.create(segment.control_name(instance), 4096)
    try:
        assert stage.clear() == [f"csp-{OWN}-control"]
    finally:
        for instance in (OTHER, OWN):
            segment.unlink_all(instance)
