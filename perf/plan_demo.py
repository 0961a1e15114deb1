"""Does the plan tell the time that a study takes? The demo's, planned after measuring this machine, then run.

    PYTHONPATH=src python perf/plan_demo.py [--recipe recipes/demo.yaml]

The bar is 30 % either way. Writes ``perf/results/plan_demo.json``. Anything else at work on the machine falsifies it; a
first conversion of SmolLM2 counts as the demo's time, as a newcomer pays it.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from steps import machine

from expunge.core.files import write_json
from expunge.study.run import plan, run

RESULT = Path(__file__).parent / "results" / "plan_demo.json"
LOW, HIGH = 0.7, 1.3


def main() -> int:
    """Plan, run, compare; exit code 1 where the plan is off by more than the bar."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="recipes/demo.yaml")
    recipe = parser.parse_args().recipe
    with tempfile.TemporaryDirectory() as folder:
        planned = plan(recipe, out=folder, calibrate=True)
        began = time.perf_counter()
        done = run(recipe, out=folder)
        took = time.perf_counter() - began
    ratio = planned.seconds(1) / took
    kinds = {stage.kind: round(3600 * stage.hours, 1) for stage in planned.stages()}
    found = {
        "recipe": recipe,
        "planned_s": round(planned.seconds(1), 1),
        "took_s": round(took, 1),
        "ratio": round(ratio, 3),
        "planned_by_stage_s": kinds,
        "holds": done.exit_code == 0 and LOW <= ratio <= HIGH,
        "machine": machine(),
    }
    write_json(RESULT, found)
    print(json.dumps({key: found[key] for key in ("planned_s", "took_s", "ratio", "holds")}))
    return int(not found["holds"])


if __name__ == "__main__":
    sys.exit(main())
