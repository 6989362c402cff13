"""vLLM's shrink and expand kernels: those of an installed vLLM, or its files alone, carried to where there is none."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import shutil
import sys
import types
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

from calibrate.errors import CalibrationError

FOLDER = Path("vllm") / "lora" / "ops" / "triton_ops"
FILES = ("kernel_utils.py", "lora_expand_op.py", "lora_kernel_metadata.py", "lora_shrink_op.py", "utils.py")
"""All that the two kernels need of vLLM."""
_PACKAGE = "vllm.lora.ops.triton_ops"


class Kernels(NamedTuple):
    """The two kernels, and what prepares a batch for them."""

    shrink: Any
    expand: Any
    metadata: Any
    version: str
    pointers: tuple[dict[Any, Any], ...] = ()
    """What they keep of every set of slots they were called with, by its address alone: for a server has one."""

    def forget(self) -> None:
        """Let go of the slots they were called with, whose memory and addresses others are to have."""
        for kept in self.pointers:
            kept.clear()


def carry(folder: Path, wheel: Path | None = None) -> Path:
    """Copy vLLM's kernels, of a wheel or of the installed one, to where `load` takes them; returns their folder.

    Raises:
        CalibrationError: no vLLM is installed, the wheel is none, or it has other files.
    """
    if wheel is not None:
        return _unpack(folder, wheel)
    found = importlib.util.find_spec("vllm")
    if found is None or not found.submodule_search_locations:
        raise CalibrationError("no vLLM is installed here: carry its kernels from where it is")
    source, target = Path(found.submodule_search_locations[0]).parent / FOLDER, folder / FOLDER
    missing = [name for name in FILES if not (source / name).is_file()]
    if missing:
        raise CalibrationError(f"{source}: no {', '.join(missing)}; kernels of vLLM 0.24 and later are known")
    target.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(source / name, target / name)
    (folder / "version").write_text(importlib.metadata.version("vllm"), encoding="ascii")
    return target


def _unpack(folder: Path, wheel: Path) -> Path:
    target = folder / FOLDER
    try:
        with zipfile.ZipFile(wheel) as packed:
            content = {name: packed.read((FOLDER / name).as_posix()) for name in FILES}
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise CalibrationError(f"{wheel}: no wheel of vLLM 0.24 or later: {error}") from error
    target.mkdir(parents=True, exist_ok=True)
    for name, text in content.items():
        (target / name).write_bytes(text)
    (folder / "version").write_text(wheel.name.split("-")[1], encoding="ascii")
    return target


def load(folder: Path | None) -> Kernels:
    """The kernels of the installed vLLM, or those that were carried into a folder.

    Raises:
        CalibrationError: there are none, or torch or Triton is missing.
    """
    try:
        importlib.import_module("torch")
        importlib.import_module("triton")
    except ImportError as error:
        raise CalibrationError(f"timing kernels takes torch and triton: {error}") from error
    if folder is None:
        if importlib.util.find_spec("vllm") is None:
            raise CalibrationError(
                "no vLLM is installed here; --kernels names a folder that its kernels were carried to"
            )
        version = importlib.metadata.version("vllm")
    else:
        if not (folder / FOLDER).is_dir():
            raise CalibrationError(f"{folder}: no {FOLDER} in it; `python -m calibrate carry-kernels` writes it")
        _stand_in(folder / FOLDER)
        named = folder / "version"
        version = named.read_text(encoding="ascii").strip() if named.exists() else "unknown"
    return Kernels(
        importlib.import_module(f"{_PACKAGE}.lora_shrink_op").lora_shrink,
        importlib.import_module(f"{_PACKAGE}.lora_expand_op").lora_expand,
        importlib.import_module(f"{_PACKAGE}.lora_kernel_metadata").LoRAKernelMeta,
        version,
        _pointers(),
    )


def _pointers() -> tuple[dict[Any, Any], ...]:
    utils = importlib.import_module(f"{_PACKAGE}.utils")
    try:
        return utils._LORA_A_PTR_DICT, utils._LORA_B_PTR_DICT
    except AttributeError as error:
        raise CalibrationError(f"{utils.__file__}: {error}; kernels of vLLM 0.24 and later are known") from None


def _stand_in(folder: Path) -> None:
    """Modules in place of the rest of vLLM: with the values that its kernels ask for, as they are by default."""
    import torch
    import triton
    import triton.language as tl

    def module(name: str, **values: Any) -> types.ModuleType:
        made = types.ModuleType(name)
        made.__dict__.update(values)
        sys.modules[name] = made
        parent, _, own = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], own, made)
        return made

    def not_registered(**_: Any) -> None:
        """vLLM then calls the plain function, without the dispatcher that torch.compile needs."""
        raise AttributeError

    def to_device(data: Any, device: Any = None, dtype: Any = None, out: Any = None) -> Any:
        made = torch.as_tensor(data, dtype=dtype, device=device)
        return made if out is None else out.copy_(made)

    class Logger:
        def __getattr__(self, _: str) -> Any:
            return lambda *_: None

    class Platform:
        def is_cuda(self) -> bool:
            return torch.cuda.is_available()

        def has_device_capability(self, capability: int) -> bool:
            return torch.cuda.is_available() and torch.cuda.get_device_capability() >= divmod(capability, 10)

        def is_device_capability(self, capability: int) -> bool:
            return torch.cuda.is_available() and torch.cuda.get_device_capability() == divmod(capability, 10)

    off = (
        "VLLM_BATCH_INVARIANT",
        "VLLM_LORA_DISABLE_PDL",
        "VLLM_LORA_ENABLE_DUAL_STREAM",
        "VLLM_TRITON_FORCE_FIRST_CONFIG",
    )
    for name in ("vllm", "vllm.lora", "vllm.lora.ops", "vllm.utils"):
        module(name, __path__=[])
    module("vllm.envs", VLLM_TUNED_CONFIG_FOLDER=None, **dict.fromkeys(off, False))
    module("vllm.logger", init_logger=lambda _: Logger())
    module("vllm.platforms", current_platform=Platform())
    module("vllm.triton_utils", tl=tl, triton=triton)
    module("vllm.utils.math_utils", next_power_of_2=triton.next_power_of_2)
    module("vllm.utils.torch_utils", async_tensor_h2d=to_device, direct_register_custom_op=not_registered)
    module(_PACKAGE, __path__=[str(folder)])
