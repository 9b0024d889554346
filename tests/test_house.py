"""The house itself: pins, layers, declared packages, and documents that point at what exists."""

import ast
import graphlib
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Collection
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SCIENCE = sorted((ROOT / "fisherdash").rglob("*.py"))
OURS = [*SCIENCE, *(ROOT / "pages").rglob("*.py"), ROOT / "app.py"]
PINS = (
    "requirements.txt",
    "requirements-dev.txt",
    "requirements-gpu.txt",
    "requirements-auth.txt",
    "requirements-audit.txt",
    "requirements-bench.txt",
    "requirements-potentials.txt",
    "requirements-nequip.txt",
)
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]


def pins(name: str) -> dict[str, tuple[str, int]]:
    """Package → (version, number of hashes) of a requirements file."""
    text = (ROOT / name).read_text()
    found = re.findall(
        r"^([\w.-]+)==(\S+)[^\n]*\\\n((?: +--hash=sha256:[0-9a-f]{64}.*\n?)+)", text, re.M
    )
    return {package.lower(): (version, rest.count("--hash")) for package, version, rest in found}


def imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(path: Path) -> str:
    """The room of the house that a file of the package belongs to."""
    return path.relative_to(ROOT / "fisherdash").parts[0].removesuffix(".py")


@pytest.mark.parametrize("name", PINS)
def test_every_package_is_pinned_to_its_hashes(name):
    lines = [line for line in (ROOT / name).read_text().splitlines() if line[:1].isalnum()]
    assert len(lines) == len(pins(name)) > 3
    assert all("==" in line for line in lines)


@pytest.mark.parametrize("name", PINS)
def test_pins_name_no_host_and_no_path(name):
    assert not re.search(r"://|find-links|index-url|(^|\s)/", (ROOT / name).read_text())


def test_the_pins_agree_with_one_another_and_with_the_project():
    app, dev, gpu, auth = (pins(name) for name in PINS[:4])
    assert {name: dev[name] for name in app} == app
    assert gpu["jax-cuda12-plugin"][0] == app["jax"][0]
    assert not set(gpu) & set(app)
    for added in (auth, pins("requirements-bench.txt")):
        assert all(app[name] == added[name] for name in set(app) & set(added))
    wanted = [*PROJECT["project"]["dependencies"]]
    wanted += [one for extra in ("test", "lint") for one in extras()[extra]]
    for requirement in wanted:
        name, lower = re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement).groups()
        pinned = dev[name.lower()][0]
        assert numbers(pinned) >= numbers(lower), requirement


def extras() -> dict[str, list[str]]:
    """The optional dependencies by name."""
    return PROJECT["project"]["optional-dependencies"]


def numbers(version: str) -> list[int]:
    """A version as numbers to compare."""
    return [int(part) for part in re.findall(r"\d+", version)]


def test_every_package_that_is_imported_is_declared():
    known = {re.split(r"[>\[]", one)[0].lower() for one in PROJECT["project"]["dependencies"]}
    own = {"fisherdash", "app", "pages"}
    elsewhere = {"torch_head.py": {"torch"}}  # goes out to a Python that has it
    for path in OURS:
        tops = {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names) - own
        tops -= elsewhere.get(path.name, set())
        assert {top.lower() for top in tops} <= known, f"{path}: {tops}"


def test_every_declared_package_is_imported():
    used = {name.split(".")[0].lower() for path in OURS for name in imports(path)}
    declared = {re.split(r"[>\[]", one)[0].lower() for one in PROJECT["project"]["dependencies"]}
    for_others = {"filelock"}  # JAX asks for it when its cache of compiled programs is bounded
    assert declared - used == for_others


def test_the_science_never_imports_the_interface():
    for path in SCIENCE:
        assert not any(name.split(".")[0] == "streamlit" for name in imports(path)), path


LAYERS = (
    {"__init__", "errors", "units", "text", "settings", "devices"},
    {"storage", "statistics", "trajectories", "molecules", "monitor"},
    {"background"},
    {"dataset"},
    {"reference", "potentials"},
    {"analysis"},
    {"workspace"},
    {"train", "md"},
    {"fisher", "landscape"},
    {"study", "bench", "recordings"},
    {"plots", "viewer", "learn"},
    {"tasks", "exchange", "submit", "doctor"},
    {"cli"},
    {"__main__"},
)
"""From below to above: what a package imports lies in a lower layer, or in its own."""

APART = {
    "md": {"analysis", "workspace", "train"},
    "train": {"analysis", "workspace", "md"},
    "fisher": {"workspace", "landscape"},
    "landscape": {"workspace", "fisher"},
}
"""What lies in a lower layer (or beside) and is not imported all the same."""


def test_packages_look_one_way_only():
    height = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    for path in SCIENCE:
        own = room(path)
        assert own in height, f"give {own} its place in LAYERS"
        for name in imports(path):
            top, _, rest = name.partition(".")
            seen = rest.partition(".")[0]
            if top == "fisherdash" and seen in height:
                assert height[seen] <= height[own], f"{path} imports {name} from above"
                assert seen not in APART.get(own, ()), f"{path} imports {name}"


def test_only_potentials_know_the_network():
    """All others see a potential; the peers of a benchmark and the tutorial's file are E3x's."""
    for path in OURS:
        if "potentials" not in path.parts and "bench" not in path.parts:
            seen = {one for one in imports(path) if re.search(r"(^|\.)e3x(\.|$)", one)}
            allowed = {"fisherdash.potentials.e3x", "fisherdash.potentials.e3x.tutorial"}
            assert not seen or seen == allowed, f"{path} imports {seen}"


def module(path: Path) -> str:
    """The full name under which a file is imported."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def files_imported(path: Path, files: Collection[str]) -> set[str]:
    """Names of our files that a file imports: a package only for what is not a file in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= whole if whole <= set(files) else whole | {node.module}
    return found & set(files)


def test_no_files_import_one_another_in_a_circle():
    """Imports within functions and for type checking count too."""
    files = {module(path): path for path in OURS}
    imported = {name: files_imported(path, files) for name, path in files.items()}
    try:
        graphlib.TopologicalSorter(imported).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_no_page_imports_jax():
    for path in OURS:
        if not path.is_relative_to(ROOT / "fisherdash"):
            tops = {name.split(".")[0] for name in imports(path)}
            assert not tops & {"jax", "jaxlib", "e3x", "flax", "optax"}, path


TESTED_ELSEWHERE = {
    "__main__": "cli/test_arguments",  # the parser and how a command ends
    "errors": "cli/test_console",  # InputError: how it is told
    "potentials/evaluate": "potentials/test_checkpoint",
    "workspace/headers": "workspace/test_runs",  # written and read with every run
    "workspace/locks": "workspace/test_runs",  # what one writer keeps others from
}
"""Modules that need no test module of their own → the one that has their tests."""

ACROSS = {
    "cli/test_arguments",  # wrong arguments of every command
    "cli/test_outputs",  # the gate and the lock of every command that writes
    "fisher/test_wide",  # the experiment with wider heads
    "study/test_primary",  # the question of a study from its file to the sentence
    "study/test_planted",  # the statistics of a study from planted population to verdict
    "test_house",
    "test_older_files",  # files of earlier versions, wherever they are read
    "test_storage_trouble",  # a full disk, wherever something is written
    "workspace/test_resume",  # a killed run and a shell that goes on with it
}
"""Test modules whose subject is no single module."""


def has_logic(path: Path) -> bool:
    """Whether a file defines a function or a class."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return any(isinstance(node, kinds) for node in ast.parse(path.read_text()).body)


def home_of_tests(path: Path) -> str:
    """The test module of a module's name, or that of its package, or where else it is tested."""
    folder = path.relative_to(ROOT / "fisherdash").parent
    name = f"{folder.as_posix()}/{path.stem}".removeprefix("./")
    own = folder / f"test_{path.stem}"
    packages = [folder / f"test_{folder.name}", folder.parent / f"test_{folder.name}"]
    found = [one for one in (own, *packages) if (ROOT / "tests" / f"{one}.py").is_file()]
    return found[0].as_posix() if found else TESTED_ELSEWHERE.get(name, "")


def test_every_module_with_logic_has_its_tests():
    without = [path for path in SCIENCE if has_logic(path) and not home_of_tests(path)]
    assert not without, "no tests of these modules"
    assert all((ROOT / "tests" / f"{one}.py").is_file() for one in TESTED_ELSEWHERE.values())


def test_tests_mirror_the_package():
    """Pages, browser and fuzz tests go through the app as a whole, not through one module."""
    for path in (ROOT / "tests").rglob("test_*.py"):
        folder, name = path.relative_to(ROOT / "tests").parent, path.stem.removeprefix("test_")
        if folder.parts[:1] in (("pages",), ("browser",), ("fuzz",)):
            continue
        home = ROOT if folder.parts[:1] == ("tools",) else ROOT / "fisherdash"
        places = (home / folder / f"{name}.py", home / folder / name, home / folder.parent / name)
        across = (folder / path.stem).as_posix() in ACROSS
        assert across or any(place.exists() for place in places), f"{path} tests no module"


def test_exceptions_from_the_mirror_are_needed():
    modules = {path.relative_to(ROOT / "fisherdash").with_suffix("").as_posix() for path in SCIENCE}
    assert set(TESTED_ELSEWHERE) <= modules


def test_files_say_what_they_are():
    for path in OURS:
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_public_names_say_what_they_are():
    kinds = (ast.FunctionDef, ast.ClassDef)
    for path in OURS:
        names = [node for node in ast.parse(path.read_text()).body if isinstance(node, kinds)]
        names += [one for top in names if isinstance(top, ast.ClassDef) and top.name[0] != "_"
                  for one in top.body if isinstance(one, kinds)]  # fmt: skip
        silent = [one.name for one in names if one.name[0] != "_" and not ast.get_docstring(one)]
        assert not silent, path


def test_no_failure_is_swallowed():
    for path in OURS:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler):
                broad = node.type is None or ast.unparse(node.type) in (
                    "Exception",
                    "BaseException",
                )
                empty = all(isinstance(one, ast.Pass | ast.Continue) for one in node.body)
                assert not (broad and empty), f"{path}:{node.lineno}"


def test_compiled_code_calls_no_lapack():
    # For a batch of matrices jaxlib's LAPACK calls wait, in a thread of XLA's pool, for work that
    # the same pool has to do: as many at once as there are cores wait for ever.
    call = re.compile(r"(jnp|jax\.numpy|jax\.scipy)\.linalg\.(?!norm\b)\w+\(")
    found = [f"{path}: {match[0]}" for path in OURS for match in call.finditer(path.read_text())]
    assert found == []


def test_nothing_is_unpickled():
    for path in OURS:
        text = path.read_text()
        assert "allow_pickle=True" not in text, path
        tops = {name.split(".")[0] for name in imports(path)}
        assert not tops & {"pickle", "dill", "cloudpickle", "joblib", "shelve"}, path


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_point_at_files_that_exist(document):
    for target in re.findall(r"\]\(([^)#\s]+)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_the_readme_knows_every_command_and_no_target_that_is_missing():
    from fisherdash.__main__ import COMMANDS

    readme = (ROOT / "README.md").read_text()
    assert all(f"fisherdash {command}" in readme for command in COMMANDS if command != "app")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", readme, re.M))
    assert named and named <= targets


def test_the_first_two_commands_of_the_readme_are_the_first_ones_needed():
    commands = re.findall(r"^make \w+", (ROOT / "README.md").read_text(), re.M)
    assert commands[:2] == ["make app", "make test"]


def test_the_changelog_speaks_of_this_version():
    import fisherdash

    assert f"## [{fisherdash.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize(
    "script", [".ci/run", "tools/lock.sh", "tools/make_venv.sh", "tools/potentials.sh"]
)
def test_scripts_are_executable_and_well_formed(script):
    path = ROOT / script
    assert path.stat().st_mode & 0o100
    subprocess.run(["bash", "-n", str(path)], check=True)
    assert "set -euo pipefail" in path.read_text()


def test_a_python_without_what_is_needed_is_told_in_one_sentence(tmp_path):
    old = tmp_path / "python"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.9.2\nexit 1\n')
    old.chmod(0o755)
    script = [str(ROOT / "tools/make_venv.sh"), str(old), str(tmp_path / "venv")]
    answer = subprocess.run(script, capture_output=True, text=True, check=False)
    assert answer.returncode == 1 and not (tmp_path / "venv").exists()
    assert "Python 3.9.2" in answer.stderr and "needs 3.11" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_the_wheel_holds_the_library_its_data_and_the_command(tmp_path):
    build = "import sys, flit_core.buildapi as b; print(b.build_wheel(sys.argv[1]))"
    answer = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    with zipfile.ZipFile(tmp_path / answer.stdout.strip()) as wheel:
        names = wheel.namelist()
        entry = next(name for name in names if name.endswith("entry_points.txt"))
        assert "fisherdash=fisherdash.__main__:main" in wheel.read(entry).decode().replace(" ", "")
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "fisherdash").rglob("*")
        if path.is_file() and path.suffix in (".py", ".js", ".css")
    }
    assert expected <= set(names)
    assert not any(name.startswith(("tests/", "sample_models/")) for name in names)
