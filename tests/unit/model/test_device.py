"""Where graphs run: what there is, what `auto` takes, and who takes the place of what fails."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest

from composir.errors import ModelError
from composir.model import device as devices
from composir.model import load_model
from composir.model.device import CPU_PROVIDER, KINDS, devices_here, find_device, try_device
from composir.model.pace import usual_pace
from composir.model.sessions import run_graph


@dataclass
class Runtime:
    """ONNX Runtime as if it had been built with other providers.

    Attributes:
        built: What it was built with.
        failing: Of these, what raises when a session opens.
        silent: Of these, what quietly leaves the session to the CPU.
        opened: The first provider of every session.
    """

    built: list[str]
    failing: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    opened: list[str] = field(default_factory=list)

    def get_available_providers(self) -> list[str]:
        return [*self.built, CPU_PROVIDER]

    def session(self, graph: Any, options: Any, providers: Any = None, **settings: Any) -> Any:
        asked = providers[0] if providers else "plugin"
        assert asked == CPU_PROVIDER or settings == {"enable_fallback": 0}  # it prints on stdout
        self.opened.append(asked)
        if asked in self.failing:
            raise RuntimeError("no driver\nand a long trace")
        real = self.real(graph, options, providers=[CPU_PROVIDER])
        if asked not in {CPU_PROVIDER, *self.silent}:
            real.get_providers = lambda: [asked, CPU_PROVIDER]
        return real

    real: Callable[..., Any] = onnxruntime.InferenceSession


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Runtime:
    made = Runtime(["CUDAExecutionProvider", "TensorrtExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "get_available_providers", made.get_available_providers)
    monkeypatch.setattr(onnxruntime, "InferenceSession", made.session)
    monkeypatch.setattr(devices, "find_spec", lambda _name: None)
    return made


def encoded(device: str | devices.Device) -> Any:
    return load_model("mini", threads=1, device=device).encode_texts(["a dog"])


def test_what_there_is_is_listed_with_the_cpu_last(runtime: Runtime) -> None:
    assert devices_here() == ("cuda", "tensorrt", "cpu")
    runtime.built = []
    assert devices_here() == ("cpu",)


def test_a_plugin_wheel_is_there_where_it_is_installed(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "find_spec", lambda name: name == "onnxruntime_ep_webgpu" or None)
    runtime.built = []
    assert devices_here() == ("webgpu", "cpu")
    assert find_device("auto").name == "webgpu"


def test_auto_takes_the_first_and_the_result_is_the_same(runtime: Runtime) -> None:
    plain = encoded("cpu")
    np.testing.assert_array_equal(encoded("auto"), plain)
    assert runtime.opened == [CPU_PROVIDER, "CUDAExecutionProvider"]


def test_what_compiles_for_minutes_runs_by_name_alone(runtime: Runtime) -> None:
    runtime.built = ["TensorrtExecutionProvider"]
    assert find_device("auto").name == "cpu"
    encoded("tensorrt")
    assert runtime.opened == ["TensorrtExecutionProvider"]


@pytest.mark.parametrize("way", ["failing", "silent"])
def test_auto_falls_back_to_the_cpu_and_says_so_once(runtime: Runtime, way: str) -> None:
    setattr(runtime, way, {"CUDAExecutionProvider"})
    told: list[str] = []
    model = load_model("mini", threads=1, device=find_device("auto", told.append))
    model.encode_texts(["a dog"])
    size = model.image_spec.size
    model.encode_pixels(np.zeros((3, size, size, 3), dtype=np.uint8))

    (line,) = told
    assert "cuda does not start here" in line
    assert "the CPU is used" in line
    assert "\n" not in line
    assert runtime.opened == ["CUDAExecutionProvider", CPU_PROVIDER, CPU_PROVIDER]
    assert model.images.pace == usual_pace("cpu", 1)


def test_whoever_is_not_told_otherwise_is_warned(runtime: Runtime) -> None:
    runtime.failing = {"CUDAExecutionProvider"}
    with pytest.warns(RuntimeWarning, match="the CPU is used"):
        encoded("auto")


@pytest.mark.parametrize("way", ["failing", "silent"])
def test_a_device_by_name_is_never_another_one(runtime: Runtime, way: str) -> None:
    setattr(runtime, way, {"CUDAExecutionProvider"})
    with pytest.raises(ModelError, match=r"--device cuda: it does not start here .*--device cpu"):
        encoded("cuda")
    assert runtime.opened == ["CUDAExecutionProvider"]


def test_what_is_not_here_is_told_with_what_is(runtime: Runtime) -> None:
    with pytest.raises(
        ModelError, match="coreml: not on this machine; here there are: cuda, tensorrt, cpu"
    ):
        find_device("coreml")
    with pytest.raises(ModelError, match="onnxruntime-directml"):
        find_device("directml")
    with pytest.raises(ModelError, match="it can be auto, cpu, cuda"):
        find_device("gpu")


def test_a_graph_that_nobody_can_run_is_told_as_such(runtime: Runtime, tmp_path: Any) -> None:
    from composir.model.sessions import open_session

    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"broken\.onnx cannot be run by onnxruntime"):
        open_session(broken)


def test_trying_says_why_something_does_not_start(runtime: Runtime) -> None:
    runtime.failing = {"CUDAExecutionProvider"}
    assert try_device("cuda") == "no driver"
    assert try_device("tensorrt") is None


@dataclass
class Hardware:
    """What a plugin says of one piece of hardware."""

    ep_name: str
    is_cpu: bool

    @property
    def device(self) -> Any:
        kind = onnxruntime.OrtHardwareDeviceType
        return type("device", (), {"type": kind.CPU if self.is_cpu else kind.GPU})


def test_a_plugin_is_registered_once_and_gives_its_best_hardware(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = KINDS["openvino"]
    module = ModuleType(kind.module)
    module.get_library_path = lambda: "/somewhere/plugin.so"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, kind.module, module)
    registered: list[str] = []
    hardware = [
        Hardware(CPU_PROVIDER, True),
        Hardware(kind.provider, True),
        Hardware(kind.provider, False),
    ]
    monkeypatch.setattr(onnxruntime, "get_ep_devices", lambda: hardware)
    monkeypatch.setattr(
        onnxruntime,
        "register_execution_provider_library",
        lambda _name, path: registered.append(path),
    )
    devices._register.cache_clear()

    first, again = devices._plugin_devices(kind), devices._plugin_devices(kind)
    devices._register.cache_clear()

    assert [one.is_cpu for one in first] == [False, True]
    assert first == again
    assert registered == ["/somewhere/plugin.so"]


def test_a_plugin_without_hardware_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "find_spec", lambda _name: True)
    monkeypatch.setattr(devices, "_register", lambda _module: None)
    monkeypatch.setattr(onnxruntime, "get_ep_devices", list)
    assert try_device("webgpu") == "no hardware that it can use"


@pytest.mark.parametrize("provider", [CPU_PROVIDER, "CUDAExecutionProvider"])
def test_what_fails_on_a_device_says_what_may_help(provider: str) -> None:
    class Session:
        def get_providers(self) -> list[str]:
            return [provider, CPU_PROVIDER]

        def run(self, *_args: object) -> None:
            raise RuntimeError("out of memory")

    with pytest.raises(ModelError, match="out of memory") as failed:
        run_graph(Session(), "image.onnx", ["vector"], {"pixels": np.zeros(3)})
    assert ("--device cpu" in str(failed.value)) == (provider != CPU_PROVIDER)
