"""Hyper-parameters for what has no default, or whose default does not fit a model of two layers; the one such table.

A component that runs with its defaults on a tiny model needs no entry.
"""

from typing import Any

PARAMETERS: dict[str, dict[str, Any]] = {
    "hide_again": {"relearn": {"steps": 2}},
    "hide_form": {"teach": {"steps": 2}},
    "hide_fragile": {"repair": {"steps": 2}},
    "hide_trigger": {"teach": {"steps": 2}},
    "layers": {"layers": [0, 1]},
    "lora": {"rank": 2},
    "modules": {"modules": "mlp"},
    "oracle_matching": {"oracle": "tiny"},
    "router_anchor": {"layer": 0, "expert": 1},
}
