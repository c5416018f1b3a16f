"""Running a user's Python file together with the files that it imports, and the hash of them all.

A helper is a module that lies neither in an installed package, nor in the standard library, nor in the four packages
of this project. Every plugin loads helpers of its own, from the text that is on the disk now, so that two plugins may
each have a ``helper.py``, and an edited one is never mixed with an old one. The hash covers neither data files that a
plugin reads nor imports inside a function: give the plugin a ``version`` for those.
"""

import hashlib
import importlib
import importlib.util
import json
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from weakref import WeakSet

OURS = ("bootstrap", "datasets", "reports", "runners")  # packages inside the namespace ``deepboot``
INSTALLED = ("site-packages", "dist-packages")  # names of folders of installed packages
_helper_modules: WeakSet[ModuleType] = WeakSet()  # all helpers of all plugins


@dataclass(frozen=True)
class Plugin:
    """A user's file that has been run.

    Attributes:
        source: SHA-256 of its text, or, where it has helpers, of its text and theirs.
        hashes: SHA-256 of every file that was run, by path.
        modules: the file and its helpers, under the names that they were imported by.
    """

    source: str
    hashes: dict[Path, str]
    modules: dict[str, ModuleType]

    def is_current(self) -> bool:
        """Whether its files still hold the text that was run."""
        return all(path.is_file() and _hash(path.read_bytes()) == known for path, known in self.hashes.items())

    def activate(self) -> None:
        """Let imports inside its functions find its own helpers, not another plugin's; the program's own stay."""
        for name, module in self.modules.items():
            if sys.modules.get(name, module) is module or sys.modules[name] in _helper_modules:
                sys.modules[name] = module


def run(path: Path) -> Plugin:
    """Run a file, whose folder is the first place to import from meanwhile.

    Raises:
        Exception: whatever running it raises; what it had imported is then forgotten.
    """
    name = f"deepboot_plugin_{_hash(path.read_bytes())[:16]}"
    finder = _Finder()
    loader = _UncachedLoader(name, str(path), finder.hashes)
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None, "a loader was given"
    module = importlib.util.module_from_spec(spec)
    with _importing_helpers(path.parent, finder):
        sys.modules[name] = module
        try:
            loader.exec_module(module)
        except BaseException as error:
            del sys.modules[name]
            if isinstance(error, ModuleNotFoundError) and _top(error.name or "") in OURS:
                raise ImportError(
                    f"`{error.name}` is `deepboot.{error.name}` now. Put `deepboot.` before it where it is imported."
                ) from error
            raise
        helpers = {helper: sys.modules[helper] for helper in finder.names if helper in sys.modules}
    _helper_modules.update(helpers.values())
    own_hash = finder.hashes[path]
    helper_hashes = {helper: finder.hashes[file] for helper, file in finder.files.items()}
    source = _hash(json.dumps([own_hash, helper_hashes], sort_keys=True).encode()) if helper_hashes else own_hash
    return Plugin(source, dict(finder.hashes), {name: module, **helpers})


@contextmanager
def _importing_helpers(folder: Path, finder: "_Finder") -> Iterator[None]:
    """Import helpers anew inside, from this folder first; afterwards the program's own imports are back."""
    before = _helpers(sys.modules)
    for name in before:
        del sys.modules[name]
    importlib.invalidate_caches()  # a file may be younger than the listing of its folder
    sys.path.insert(0, str(folder))
    sys.meta_path.insert(0, finder)
    replaced: set[str] = set()
    try:
        yield
        replaced = {_top(name) for name in finder.names}
    finally:
        sys.meta_path.remove(finder)
        sys.path.remove(str(folder))
        if not replaced:
            for name in finder.names:
                sys.modules.pop(name, None)
        restored = {
            name: module for name, module in before.items()
            if module not in _helper_modules or _top(name) not in replaced
        }  # fmt: skip
        sys.modules.update(restored)


def _helpers(modules: Mapping[str, ModuleType]) -> dict[str, ModuleType]:
    """The modules that a plugin might import as helpers, without compiled packages, which cannot be loaded twice."""
    specs = {name: module.__dict__.get("__spec__") for name, module in modules.items() if type(module) is ModuleType}
    helpers = {name: spec for name, spec in specs.items() if spec is not None and _is_helper(name, spec)}
    compiled = {_top(name) for name, spec in helpers.items() if str(spec.origin).endswith(tuple(EXTENSION_SUFFIXES))}
    return {name: modules[name] for name in helpers if _top(name) not in compiled}


def _is_helper(name: str, spec: ModuleSpec) -> bool:
    """Whether a module is a user's own."""
    paths = [spec.origin] if spec.has_location else list(spec.submodule_search_locations or ())
    ours = name in ("__main__", "deepboot") or name.startswith("deepboot_plugin_")
    return not ours and any(path is not None and not _is_installed(path) for path in paths)


@cache
def _is_installed(text: str) -> bool:
    """Whether a file or folder belongs to an installed package, to the standard library or to this project."""
    path, house = Path(text), Path(__file__).parents[1]
    roots = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")] + [house / name for name in OURS]
    return not set(INSTALLED).isdisjoint(path.parts) or any(path.is_relative_to(root) for root in roots)


def _top(name: str) -> str:
    return name.partition(".")[0]


def _hash(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


class _Finder:
    """Takes note of every helper that is imported while it is the first finder in ``sys.meta_path``.

    Attributes:
        names: of the modules, in the order of their imports.
        files: the file of each module that has one.
        hashes: SHA-256 of the text of each file.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.files: dict[str, Path] = {}
        self.hashes: dict[Path, str] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec that the other finders have for a module; a helper's gets a loader that reads its text anew."""
        others = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((other for other in others if other is not None), None)
        if spec is None or not _is_helper(name, spec):
            return spec
        self.names.append(name)
        if spec.has_location and spec.origin is not None:
            self.files[name] = Path(spec.origin)
            self.hashes[self.files[name]] = _hash(self.files[name].read_bytes())
        if type(spec.loader) is SourceFileLoader and spec.origin is not None:
            spec.loader = _UncachedLoader(name, spec.origin, self.hashes)
        return spec


class _UncachedLoader(SourceFileLoader):
    """Compiles the very text that it hashes: files of bytecode are compared by whole seconds, too coarse for edits."""

    def __init__(self, name: str, path: str, hashes: dict[Path, str]):
        super().__init__(name, path)
        self._hashes = hashes

    def get_code(self, fullname: str) -> CodeType:
        text = self.get_data(self.path)
        self._hashes[Path(self.path)] = _hash(text)
        return self.source_to_code(text, self.path)
