"""Where graphs run: on the CPU, or on what a provider of ONNX Runtime brings to this machine.

Providers are built into the package of ONNX Runtime that is installed (`onnxruntime-gpu` brings
CUDA) or come as plugin wheels beside it (`onnxruntime-ep-openvino`). `auto` takes the first one
that there is and falls back to the CPU, which is told once; any other name means that one.

How many pictures one run of a graph takes, and how many runs there are at once, is measured: before
a long run of indexing a few ways are tried, for about two seconds, and the best is remembered in
the user data folder. Which way it was changes vectors by no more than the order of sums does.
"""

from __future__ import annotations

import json
import os
import platform
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from composir.data.outputs import user_folder, writable_user_folder, write_inside
from composir.data.schema import as_row
from composir.data.untrusted_json import read_json
from composir.errors import ComposirError, ModelError, first_line
from composir.limits import MOST_BATCH, MOST_THREADS

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions

    from composir.model.base import EmbeddingModel


CPU, AUTO = "cpu", "auto"
CPU_PROVIDER = "CPUExecutionProvider"
_REGISTERING = Lock()


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider of ONNX Runtime.

    Attributes:
        provider: What ONNX Runtime calls it.
        package: What brings it, as pip calls it; a plugin's module has the same name.
        is_plugin: Whether that is a wheel beside the runtime, and not a build of it.
        is_automatic: Whether `auto` takes it.
    """

    provider: str
    package: str
    is_plugin: bool = False
    is_automatic: bool = True

    @property
    def module(self) -> str:
        """A plugin's module."""
        return self.package.replace("-", "_")


# In the order in which `auto` looks. TensorRT compiles every graph anew for minutes: by name alone.
KINDS = {
    "cuda": Provider("CUDAExecutionProvider", "onnxruntime-gpu"),
    "tensorrt": Provider("TensorrtExecutionProvider", "onnxruntime-gpu", is_automatic=False),
    "migraphx": Provider("MIGraphXExecutionProvider", "onnxruntime-migraphx"),
    "rocm": Provider("ROCMExecutionProvider", "onnxruntime-rocm"),
    "directml": Provider("DmlExecutionProvider", "onnxruntime-directml"),
    "coreml": Provider("CoreMLExecutionProvider", "onnxruntime"),
    "openvino": Provider("OpenVINOExecutionProvider", "onnxruntime-ep-openvino", is_plugin=True),
    "webgpu": Provider("WebGpuExecutionProvider", "onnxruntime-ep-webgpu", is_plugin=True),
}


def devices_here() -> tuple[str, ...]:
    """Names of what this installation brings, in the order of `KINDS`, and `cpu`; none is tried."""
    from onnxruntime import get_available_providers

    built_in = set(get_available_providers())
    here = (name for name, kind in KINDS.items() if kind.provider in built_in or _is_beside(kind))
    return (*here, CPU)


def _is_beside(kind: Provider) -> bool:
    return kind.is_plugin and find_spec(kind.module) is not None


class Device:
    """Opens sessions on one device; safe among threads."""

    def __init__(self, name: str, fallback: Callable[[str], None] | None = None) -> None:
        """Use `find_device` instead."""
        self._name, self._fallback = name, fallback
        self._lock = Lock()

    @property
    def name(self) -> str:
        """Where the next session runs."""
        return self._name

    @property
    def is_forced(self) -> bool:
        """Whether it is another one than the CPU, and may not be."""
        return self._name != CPU and self._fallback is None

    def open(self, graph: str | bytes, options: Callable[[], SessionOptions]) -> InferenceSession:
        """Open a session."""
        if self._name != CPU:
            try:
                return _on(KINDS[self._name], graph, options())
            except Exception as error:  # whatever a driver raises
                self._give_up(error)
        import onnxruntime

        return onnxruntime.InferenceSession(graph, options(), providers=[CPU_PROVIDER])

    def _give_up(self, error: Exception) -> None:
        why = first_line(error)
        if self._fallback is None:
            raise ModelError(
                f"--device {self._name}: it does not start here ({why}); to run without it: "
                "--device cpu; composir doctor shows what there is"
            ) from error
        with self._lock:
            failed, self._name = self._name, CPU
        if failed != CPU:
            self._fallback(f"{failed} does not start here ({why}); the CPU is used")


def find_device(name: str, fallback: Callable[[str], None] | None = None) -> Device:
    """A device by its name.

    Args:
        name: `auto`, `cpu`, or one of `KINDS`.
        fallback: Told if the CPU has to take the place of what `auto` found; None for a warning.
    """
    if name == CPU:
        return Device(CPU)
    here = devices_here()
    if name == AUTO:
        found = next(n for n in here if n == CPU or KINDS[n].is_automatic)
        return Device(found, fallback or _warn)
    if name in here:
        return Device(name)
    told = f"here there are: {', '.join(here)}"
    if name not in KINDS:
        raise ModelError(f"--device {name}: it can be {AUTO}, {CPU}, {', '.join(KINDS)}; {told}")
    raise ModelError(
        f"--device {name}: not on this machine; {told}. It comes with the package "
        f"{KINDS[name].package}"
    )


def _warn(told: str) -> None:
    warnings.warn(told, RuntimeWarning, stacklevel=2)


def _on(kind: Provider, graph: str | bytes, options: SessionOptions) -> InferenceSession:
    """Open a session on a device."""
    import onnxruntime

    if _is_beside(kind):
        options.add_provider_for_devices(_plugin_devices(kind)[:1], {})
        session = onnxruntime.InferenceSession(graph, options, enable_fallback=0)
    else:
        session = onnxruntime.InferenceSession(
            graph, options, providers=[kind.provider, CPU_PROVIDER], enable_fallback=0
        )
    if kind.provider not in session.get_providers():
        raise ModelError("its libraries or driver are missing")
    return session


def _plugin_devices(kind: Provider) -> list[Any]:
    """The hardware that a plugin can use, accelerators first."""
    import onnxruntime

    with _REGISTERING:
        _register(kind.module)
    found = [one for one in onnxruntime.get_ep_devices() if one.ep_name == kind.provider]
    if not found:
        raise ModelError("no hardware that it can use")
    cpu = onnxruntime.OrtHardwareDeviceType.CPU
    return sorted(found, key=lambda one: bool(one.device.type == cpu))


@cache
def _register(module: str) -> None:
    """Tell the runtime of a plugin's library, once a process."""
    import onnxruntime

    path = str(import_module(module).get_library_path())
    onnxruntime.register_execution_provider_library(module, path)


def try_device(name: str) -> str | None:
    """Why one of `KINDS` does not start; None if it does."""
    import onnxruntime

    try:
        _on(KINDS[name], _SMALLEST, onnxruntime.SessionOptions())
    except Exception as error:  # whatever a driver raises
        return first_line(error)
    return None


# A graph of one `Identity`, serialised.
_SMALLEST = bytes.fromhex(
    "08083a370a100a017812017922084964656e746974791201675a0f0a0178120a0a08080112040a020801"
    "620f0a0179120a0a08080112040a02080142040a001011"
)


USUAL_BATCH = 32
"""Pictures in a call of the model, where nothing was measured."""
SECONDS = 2.0
WORTH_IT = 500
"""So many pictures take long enough for two seconds not to matter."""
_CLEARLY = 1.05  # less may be chance
_FILE = "pace.json"
_CPU_BATCHES, _DEVICE_BATCHES = (1, 4, 8, 16), (8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class Pace:
    """How a call's pictures are shared out.

    Attributes:
        batch: Pictures in one run of the graph.
        runs: Runs at once.
    """

    batch: Annotated[int, Field(strict=True, ge=1, le=MOST_BATCH)]
    runs: Annotated[int, Field(strict=True, ge=1, le=MOST_THREADS)]

    @property
    def pictures(self) -> int:
        """In all runs at once."""
        return self.batch * self.runs


def batch_for(model: EmbeddingModel, count: int) -> int:
    """How many pictures a call of a model takes."""
    if model.joint is not None:
        return model.find_batch()
    return max(USUAL_BATCH, model.find_batch()) if count >= WORTH_IT else USUAL_BATCH


def usual_pace(device: str, threads: int) -> Pace:
    """Where nothing was measured: on a CPU few pictures a run, on anything else many."""
    return Pace(2, threads) if device == CPU else Pace(16, 1)


def other_paces(usual: Pace, device: str) -> Iterable[Pace]:
    """What is tried beside the usual one, the quickest first."""
    batches = _CPU_BATCHES if device == CPU else _DEVICE_BATCHES
    runs = (usual.runs,) if device == CPU else (1, 2)
    paces = (Pace(batch, at_once) for batch in batches for at_once in runs)
    return sorted((one for one in paces if one != usual), key=lambda one: one.pictures)


def best_pace(
    usual: Pace,
    others: Iterable[Pace],
    run: Callable[[Pace], object],
    *,
    limit: float = SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> Pace:
    """Try paces until the time is up."""
    begun = clock()

    def speed(pace: Pace) -> float:
        started = clock()
        run(pace)
        return pace.pictures / max(clock() - started, 1e-9)

    run(usual)  # the first run is always slower
    if clock() - begun > limit / 3:
        return usual
    first = speed(usual)
    best, most = usual, first * _CLEARLY
    for pace in others:
        if clock() - begun + pace.pictures / first > limit:
            break
        found = speed(pace)
        if found > most:
            best, most = pace, found
    return best


def pace_key(fingerprint: str, device: str, threads: int) -> str:
    """What a measurement holds for: this machine, this model, this runtime."""
    import onnxruntime

    machine = f"{platform.node()} {platform.machine()} {os.cpu_count()}"
    return f"{machine} {fingerprint} {device} {threads} {onnxruntime.__version__}"


def known_pace(key: str) -> Pace | None:
    """What was measured before; None where nothing was, or it cannot be read."""
    try:
        found = read_json(user_folder() / _FILE, ModelError, dict)
        return as_row(_FILE, found.get(key), Pace, ModelError)
    except ComposirError:
        return None


def remember_pace(key: str, pace: Pace) -> None:
    """Keep a measurement; where the folder cannot be written, it is made again next time."""
    with suppress(ComposirError, OSError):
        folder = writable_user_folder()
        folder.mkdir(parents=True, exist_ok=True)
        known: Mapping[str, object] = {}
        with suppress(ComposirError):
            known = read_json(folder / _FILE, ModelError, dict)
        write_inside(folder, _FILE, json.dumps({**known, key: asdict(pace)}, indent=1))
