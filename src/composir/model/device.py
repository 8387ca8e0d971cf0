"""Where graphs run: on the CPU, or on what a provider of ONNX Runtime brings to this machine.

Providers are built into the package of ONNX Runtime that is installed (`onnxruntime-gpu` brings
CUDA) or come as plugin wheels beside it (`onnxruntime-ep-openvino`). `auto` takes the first one
that there is and falls back to the CPU, which is told once; any other name means that one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING, Any

from composir.errors import ModelError, first_line

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions

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
