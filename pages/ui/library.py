"""The data sets, models and runs of the samples and the workspace: chosen, read, brought, shared.

A choice lives in the address of the page, so it is the same on all pages, survives a refresh and
can be sent to a colleague on the same machine. One's own files can be renamed, deleted and, on a
server, shared with everybody.
"""

import contextlib
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import pandas as pd
import streamlit as st

from fisherdash import dataset as datasets
from fisherdash import storage, submit
from fisherdash.analysis import RunStatistics, compare
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.settings import ImportSettings, OutsideSettings, TutorialSettings, shown
from fisherdash.settings.data import METHOD
from fisherdash.workspace import Run, belongings, estimates, jobs, limits, open_run, paths
from fisherdash.workspace.jobs import Job
from fisherdash.workspace.listing import delete, entries
from fisherdash.workspace.listing import rename as rename_work
from pages.ui import progress
from pages.ui.progress import attempt, command, complaint, computed, door, follow, kept_as, plain
from pages.ui.uploads import MOST_FILES, file_uploader, shelf
from pages.ui.widgets import in_words_of_the_page, widgets

if TYPE_CHECKING:
    from fisherdash.potentials.checkpoint import Checkpoint

T = TypeVar("T")
Kind = Literal["datasets", "checkpoints"]


def options(kind: Kind) -> dict[str, Path]:
    """What can be chosen, by the name shown."""
    return {name_of(path): path for path in paths.files(kind)}


def name_of(path: Path) -> str:
    """How a file is named in the selectors."""
    if path.parent == paths.samples():
        return f"{path.stem} (sample)"
    return f"{path.stem} (shared)" if belongings.is_everybodys(path) else path.stem


def select(key: str, value: object) -> None:
    """Choose ``value`` in the selector ``key`` at the next run of the page."""
    st.session_state[f"next {key}"] = value


def choose(label: str, kind: Kind, key: str, help: str | None = None) -> Path | None:
    """A selector of one file; None when there is nothing to choose."""
    return choose_of(label, options(kind), key, help)


def choose_of(label: str, found: Mapping[str, T], key: str, help: str | None = None) -> T | None:
    """A selector of these, by the name shown; None when there is nothing to choose."""
    if st.session_state.get(f"next {key}") in found:  # else it is still to come
        _apply(key)
    if st.session_state.get(key) not in found:
        st.session_state.pop(key, None)
    # The name is what the address shows: a label made from it would change the link.
    name = st.selectbox(label, list(found), key=key, help=help, bind="query-params")
    return found.get(name) if name else None


def choose_many(key: str, default: list[str], help: str) -> list[Path]:
    """A selector of any number of models, in the order in which they were chosen."""
    found = options("checkpoints")
    _apply(key)
    kept = st.session_state.get(key)
    if kept is None and key not in st.query_params:
        st.session_state[key] = default  # as one does not set both, the widget has none
    elif kept is not None and any(name not in found for name in kept):
        st.session_state[key] = [name for name in kept if name in found]
    names = st.multiselect("Models", list(found), key=key, help=help, bind="query-params")
    return [found[name] for name in names]


def choose_models(key: str, help: str) -> tuple[list[Path], Path | None]:
    """Any number of models, and the data set whose frames all of them are held against."""
    left, right = st.columns(2)
    with left:
        models = choose_many(key, [], help)
    with right:
        return models, choose("Frames of", "datasets", "data")


def choose_run() -> Run | None:
    """A selector of a run of the workspace, always in the address; None where there is none.

    Raises InputError for a damaged run, and for a link whose run is gone: another would be taken
    for it.
    """
    found = {entry.folder.name: entry for entry in entries("runs")}
    asked = st.query_params.get("run")
    wanted = st.session_state.get("next run")
    if wanted in found:  # else it is still to come
        _apply("run")
    elif "run" not in st.session_state:
        kept = asked or st.session_state.get("last run")
        st.session_state["run"] = kept if kept in found or asked else next(iter(found), None)
    if not found and not asked:
        return None
    missing = st.session_state["run"] not in found
    if missing:
        gone, st.session_state["run"] = st.session_state["run"] or asked, None
    name = st.selectbox("Run", list(found), key="run", placeholder="Choose a run")
    if name is None:
        raise InputError(
            f"there is no run called {gone}: it was deleted, or is in another workspace"
            if missing and gone
            else "choose a run"
        )
    st.session_state["last run"] = st.query_params["run"] = name
    return run_at(found[name].folder)


def run_at(folder: Path) -> Run:
    """The run in a folder, with what has come since it was last looked at; InputError if damaged.

    One object serves all sessions, so that only new chunks are read.
    """
    run = _opened(str(folder))
    run.refresh()
    return run


def forget_run(folder: Path) -> None:
    """Delete a run, here and on disk; InputError when it may not be deleted."""
    delete(folder)
    _opened.clear(str(folder))


def dataset_at(path: Path) -> Dataset:
    """The data set in a file, read once while it is looked at."""
    changed = _changed(path)

    def read() -> Dataset:
        with st.spinner("Reading the data"):
            return datasets.load(path)

    return shelf.get((str(path), changed), read, path.stat().st_size)


def checkpoint_at(path: Path) -> "Checkpoint":
    """The checkpoint in a file, read once."""
    return _checkpoint(str(path), _changed(path))


def models_for(chosen: Iterable[Path], data: Dataset) -> "dict[str, Checkpoint]":
    """The checkpoints in these files by the names shown.

    InputError when one does not know an element of the data.
    """
    models = {name_of(path): checkpoint_at(path) for path in chosen}
    for model in models.values():
        model.check_elements(data.atomic_numbers)
    return models


def readable_checkpoints() -> "dict[Path, Checkpoint]":
    """Every checkpoint that can be read; a damaged one is reported where it is chosen."""
    found = {}
    for path in paths.files("checkpoints"):
        with contextlib.suppress(InputError):
            found[path] = checkpoint_at(path)
    return found


def comparison_of(run: Run, *, quiet: bool = False, patient: bool = True) -> RunStatistics | None:
    """The statistics of a run as far as it has come; None until they are known."""
    found = comparisons_of([run], quiet=quiet, patient=patient)
    return found[0] if found else None


def comparisons_of(
    runs: Sequence[Run], *, quiet: bool = False, patient: bool = True
) -> list[RunStatistics] | None:
    """The statistics of runs as far as they have come; None until they are known.

    Raises InputError, unless ``quiet``, where they would take too long on this server.
    """
    prices = [estimates.run_statistics(*run.header.shape, len(run.times)) for run in runs]
    with contextlib.suppress(InputError) if quiet else contextlib.nullcontext():
        return computed(
            "the statistics",
            ("comparisons", *(run.subject for run in runs)),
            lambda: [compare(run.trajectories()) for run in runs],
            tuple((run.step, len(run.times), run.now.judged) for run in runs),
            price=prices[0].together("page", *prices[1:]),
            quiet=quiet,
            patient=patient,
        )
    return None


@st.cache_resource(max_entries=8, show_spinner=False)
def _opened(folder: str) -> Run:
    return open_run(Path(folder))


@st.cache_resource(max_entries=32, show_spinner=False)
def _checkpoint(path: str, changed: Hashable) -> "Checkpoint":
    from fisherdash.potentials import checkpoint

    return checkpoint.load(path)


def only_a_number(key: str) -> None:
    """Remove from the address what is no whole number: a number field would fail over it."""
    value = st.query_params.get(key)
    if value is not None and not (value.isascii() and value.isdigit() and len(value) < 10):
        del st.query_params[key]
        st.rerun()  # in this run the field would still begin with it


def _changed(path: Path) -> tuple[int, ...]:
    """What differs once a file was written or replaced; the time of change cannot be set back."""
    try:
        facts = path.stat()
        return facts.st_ctime_ns, facts.st_mtime_ns, facts.st_size, facts.st_ino
    except OSError:
        raise InputError(f"there is no {path.stem} any more; choose another one") from None


def _apply(key: str) -> None:
    if f"next {key}" in st.session_state:
        st.session_state[key] = st.session_state.pop(f"next {key}")


def own_model(key: str = "model", *, several: bool = False) -> None:
    """Uploads of checkpoints or of E3x parameters; on a mistake, what was loaded stays.

    Args:
        key: of the selector in which the new model is chosen.
        several: whether it holds several models, to which the new ones are added.
    """
    target = {"key": key, "several": several}
    upload: dict[str, Any] = {"accept_multiple_files": several, "kwargs": target}
    most = f" Up to {MOST_FILES} at a time." if several else ""
    names = ["FisherDash", "E3x tutorial", "SchNetPack, ANI", OUTSIDE]
    with st.expander("Bring your own checkpoint", icon=":material/upload_file:"):
        tabs = st.tabs(names)
        with tabs[0]:
            file_uploader(
                f"FisherDash checkpoints (.safetensors), at most {MOST_FILES} at a time"
                if several
                else "FisherDash checkpoint (.safetensors)",
                type=["safetensors"],
                key="own model",
                on_change=_bring_checkpoint,
                help="As written by the Train page or the train command. Nothing in it is ever "
                "executed.",
                **upload,
            )
        with tabs[1]:
            st.caption("The parameters that the public E3x tutorial saves say nothing of these:")
            widgets(TutorialSettings, columns=3, key="tutorial")
            file_uploader(
                "E3x tutorial parameters (flax.serialization.to_bytes)",
                key="tutorial model",
                on_change=_bring_tutorial,
                help=f"All other hyperparameters are read off the shapes of the arrays.{most}",
                **upload,
            )
        with tabs[2]:
            st.caption(
                "Models of SchNetPack (PaiNN, SchNet) and of NeuroChem (ANI) do not say their "
                "unit of energy:"
            )
            widgets(ImportSettings, columns=2, key="foreign")
            file_uploader(
                "SchNetPack's best_model, or a zip of NeuroChem's folder (ANI)",
                key="foreign model",
                on_change=_bring_foreign,
                help="A whole model as torch.save writes it, or the folder of a network (train0) "
                "or of an ensemble, zipped. It is read as numbers and names; nothing in it is ever "
                f"executed. Its last linear layer becomes the head.{most}",
                **upload,
            )
        with tabs[3]:
            outside_form()
    latest_import()
    complaint("model")
    if notes := st.session_state.pop("model notes", ()):
        st.info(plain(" ".join(notes)), icon=":material/info:")


def _bring_checkpoint(**target: Any) -> None:
    from fisherdash.potentials import checkpoint

    _bring("own model", checkpoint.load_bytes, **target)


def _bring_tutorial(**target: Any) -> None:
    from fisherdash.potentials.e3x import tutorial

    fields = {one.name: st.session_state[f"tutorial {one.name}"] for one in shown(TutorialSettings)}

    def read(data: bytes, name: str) -> "Checkpoint":
        """The checkpoint of an upload."""
        return tutorial.load_bytes(data, **fields, name=name)

    _bring("tutorial model", read, **target)


def _bring_foreign(**target: Any) -> None:
    from fisherdash.potentials import foreign

    def read(data: bytes, name: str) -> "Checkpoint":
        """The checkpoint of an upload, its notes shown."""
        settings = ImportSettings(
            **{one.name: st.session_state[f"foreign {one.name}"] or None
               for one in shown(ImportSettings)}
        )  # fmt: skip
        stem = paths.safe_stem(name)
        try:
            imported = foreign.load_bytes(data, settings, source=name, name=stem)
        except foreign.NeedsItsLibrary as error:
            raise InputError(f"{error.reason}: name its file under “{OUTSIDE}”") from error
        except InputError as error:
            raise InputError(in_words_of_the_page(str(error), ImportSettings)) from error
        before = st.session_state.get("model notes", ())
        st.session_state["model notes"] = (*before, *imported.sentences)
        return imported.checkpoint

    _bring("foreign model", read, **target)


def _bring(
    field: str, read: "Callable[[bytes, str], Checkpoint]", *, key: str, several: bool
) -> None:
    """Check what is new in a field of uploads and keep it in the workspace; a file with a mistake
    changes nothing.

    ``key`` and ``several`` are those of :func:`own_model`.
    """
    held = st.session_state[field]
    uploads = held if several else [held] if held else []
    known = st.session_state.get(f"read from {field}", ())
    st.session_state[f"read from {field}"] = [upload.file_id for upload in uploads]
    refusals = []
    for upload in uploads:
        if upload.file_id in known:  # a field of several files still holds those from before
            continue
        try:
            limits.admit(estimates.reading(upload.size))
            name = _keep(read(upload.getvalue(), upload.name), upload.name, key, several)
        except InputError as refusal:
            refusals.append(str(refusal))
            continue
        if several:  # Re-fit begins with it, too
            select("model", name)
    if refusals:
        with door("model"):
            raise InputError("; ".join(refusals))


def _keep(found: "Checkpoint", name: str, key: str, several: bool) -> str:
    """A new model in the workspace, chosen in the selector or added to what is chosen there; its
    name there."""
    from fisherdash.potentials import checkpoint

    path = paths.save_new(
        "checkpoints",
        paths.safe_stem(name),
        ".safetensors",
        lambda part: checkpoint.save(found, part),
    )
    before = st.session_state.get(f"next {key}") or st.session_state.get(key) or []
    select(key, [*before, name_of(path)] if several else name_of(path))
    return name_of(path)


def reference_beside(key: str, data: Dataset) -> None:
    """A button that adds the potential that labelled the data to the models of a selector."""
    known = any(name.startswith(METHOD) for name in options("checkpoints"))
    if known or not data.source.startswith(METHOD):
        return

    @door("model")
    def add() -> None:
        """Keep the reference potential as a model."""
        from fisherdash.potentials import foreign

        _keep(foreign.calculator(METHOD, name=METHOD), METHOD, key, several=True)

    st.button(
        f"Add {METHOD} itself",
        key=f"reference for {key}",
        on_click=add,
        type="tertiary",
        icon=":material/add:",
        help=f"{METHOD} labelled these frames. Beside the models its own dynamics show what they "
        "should do, and how much of the drift is the integrator's.",
    )


def own_file(path: Path, key: str) -> None:
    """A menu beside one of the user's own files, chosen by the selector ``key``; else nothing."""
    if paths.is_mine(path):
        _menu(path, path.stem, lambda name: select(key, name_of(belongings.rename(path, name))),
              lambda: belongings.delete_file(path),
              "Deleting is for good. Runs and models that were made with it stay, and remember "
              "what it was.")  # fmt: skip
    complaint("own")


def own_run(run: Run) -> None:
    """A menu of a run of the workspace: its name, a note, and deleting it."""

    def rename(name: str) -> None:
        """Rename the run's folder, and show it under its new name."""
        folder = rename_work(run.folder, name)
        _opened.clear(str(run.folder))
        st.session_state["last run"] = folder.name
        select("run", folder.name)

    def remove() -> None:
        """Delete the run, and show the newest other one."""
        forget_run(run.folder)
        for name in {"run", "replica", "time"} & set(st.query_params):  # heads and part are bound
            del st.query_params[name]
        st.session_state.pop("last run", None)
        select("run", next((one.folder.name for one in entries("runs")), None))

    words = "Deleting is for good. Links hold the name of a run and end with it."
    _menu(run.folder, run.id, rename, remove, words)
    complaint("own")


def _menu(
    path: Path,
    called: str,
    rename: Callable[[str], None],
    remove: Callable[[], None],
    words: str,
) -> None:
    """Fields for the name and the note of what lies at ``path``, and a button that deletes it."""
    name, line = f"new name of {path.name}", f"note of {path.name}"
    st.session_state.setdefault(line, belongings.note(path))
    with st.popover("Name, note, delete", icon=":material/edit:"):
        st.text_input("Name", value=called, max_chars=80, key=name)

        @door("own")
        def renamed() -> None:
            """The button for another name."""
            st.session_state.pop("loaded", None)  # what the Data page remembers, by its name
            rename(st.session_state[name])

        @door("own")
        def noted() -> None:
            """The field of the note."""
            belongings.keep_note(path, st.session_state[line])

        @door("own")
        def removed() -> None:
            """The button that deletes."""
            st.session_state.pop("loaded", None)
            remove()

        st.button("Rename", icon=":material/edit:", key=f"rename {path.name}", on_click=renamed)
        st.text_input(
            "Note", max_chars=belongings.LONGEST_NOTE, key=line, on_change=noted,
            placeholder="What it is for, what came of it", help="Shown in tables; Enter keeps it.",
        )  # fmt: skip
        st.caption(words)
        st.button(f"Delete {plain(called)}", icon=":material/delete:", on_click=removed)


def with_notes(table: pd.DataFrame, after: str) -> pd.DataFrame:
    """A table with its column ``note`` behind another one, or without it where all are empty."""
    column = table.pop("note")
    if column.any():
        table.insert(list(table.columns).index(after) + 1, "note", column)
    return table


def note_line(path: Path) -> None:
    """The note of a run or a file, if it has one."""
    if said := belongings.note(path):
        st.caption(f":material/sticky_note_2: {plain(said)}")


def share_button(path: Path) -> None:
    """The button beside one of the user's own files; nothing for any other file."""
    if not belongings.is_own(path):
        return
    shared = belongings.shared_as(path) is not None
    st.button(
        "Stop sharing" if shared else "Share with everyone here",
        key=f"share {path.name}",
        icon=":material/lock:" if shared else ":material/group:",
        on_click=attempt(belongings.stop_sharing if shared else belongings.share, "share"),
        args=(path,),
        help="Everyone on this server sees it and can work on it; nobody can change it."
        if not shared
        else "Others no longer see it. What they have made from it stays theirs.",
    )
    complaint("share")


_LATEST = "latest import"


OUTSIDE = "MACE, SO3LR, NequIP"


def outside_form() -> None:
    """The file, its library's Python and the user's word; not on a server that many share."""
    if storage.is_shared():
        st.caption(
            "Models of MACE, so3krates-torch and NequIP have to be opened by their own library, "
            "which runs whatever is written in the file: on one's own machine only, not on this "
            "shared server."
        )
        return
    st.caption(
        "A model of MACE, so3krates-torch (SO3LR) or NequIP: a file on this machine that its own "
        "library opens and evaluates, in a Python of yours."
    )
    with st.form("outside", border=False):
        path = st.text_input(
            "File of the model", placeholder="/home/me/model.model", key="outside file"
        )
        chosen = widgets(OutsideSettings, columns=3, key="outside", without=("trusted",))
        facts = widgets(ImportSettings, columns=3, key="outside facts")
        st.caption(
            "To open the file is to run whatever is written in it, as you. *Trust this file* only "
            "if it comes from somebody whose programs you would run."
        )
        chosen |= widgets(OutsideSettings, columns=0, key="outside", only=("trusted",))
        pressed = st.form_submit_button("Import", icon=":material/input:")
    if pressed:
        with door("outside"):
            _begin_import(path, OutsideSettings(**chosen), ImportSettings(**facts))
    complaint("outside")


def _begin_import(path: str, outside: OutsideSettings, settings: ImportSettings) -> None:
    if not path.strip():
        raise InputError("no file is named; write the path of the model's own file")
    file = storage.file_named(path.strip())
    if file is None:
        raise InputError(f"{path.strip()!r:.200} is no file; give the file of the model itself")
    try:
        progress.begin(lambda: submit.import_model(file, settings, outside), _import_begun)
    except InputError as error:
        raise InputError(in_words_of_the_page(str(error), OutsideSettings)) from error


def _import_begun(job: Job) -> None:
    st.session_state[_LATEST] = job.id


def latest_import() -> None:
    """The latest_import import of this session: its progress, then what was found."""
    job = jobs.get(st.session_state.get(_LATEST, ""))
    if job is None:
        return
    follow(job)
    if job.result is not None and job.status == "finished":
        st.info(plain(" ".join(job.result.sentences)), icon=":material/info:")
        st.caption(f"{kept_as(job.info['out'])}.")
    command(job.info["command"])
