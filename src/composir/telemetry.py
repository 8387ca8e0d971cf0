"""Libraries that report home are told not to, before any of them is loaded.

ONNX Runtime's wheel resolves its vendor's event server and keeps a device id and queued events in
the home folder unless a variable is set *before* the library is loaded; its own
`disable_telemetry_events()` comes too late. Ray and the hub clients that `composir train` may
load have variables of the same kind.
"""

import os

SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def switch_off() -> None:
    """Set the switches for this process and those that it starts, whatever they were before."""
    os.environ.update(SWITCHES)
