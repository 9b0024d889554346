"""Jobs, errors, links and commands on every page.

A page draws a job (stage, progress, speed, time left, device, cancel) by asking the list of jobs;
closing, refreshing or opening the page twice changes nothing for the job. A user's mistake is one
sentence, and what was loaded stays.
"""

import contextlib
import functools
import re
import time
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import streamlit as st
from streamlit.components.v2 import component

from fisherdash import submit, viewer
from fisherdash.errors import InputError
from fisherdash.text import duration
from fisherdash.workspace import computed as background
from fisherdash.workspace import jobs, limits, users
from fisherdash.workspace.estimates import Estimate
from fisherdash.workspace.jobs import Job
from fisherdash.workspace.listing import Work, dismiss, interrupted

T = TypeVar("T")
Colour = Literal["gray", "blue", "violet", "orange", "green", "red"]

_BADGES: dict[str, tuple[Colour, str]] = {
    "queued": ("gray", ":material/schedule:"),
    "loading": ("blue", ":material/folder_open:"),
    "compiling": ("violet", ":material/build:"),
    "solving": ("orange", ":material/calculate:"),
    "finished": ("green", ":material/check_circle:"),
    "cancelled": ("gray", ":material/cancel:"),
    "failed": ("red", ":material/error:"),
}
_SPECIAL = "\\`*_{}[]()<>#+!|~:$&@^"
# An address becomes a link whatever is escaped in it, unless something invisible divides it.
_LINK = re.compile(r"https?:(?=//)|www(?=\.)|@", re.I)
_LIST = re.compile(r"^(\d{0,9})([-.=])")

_AT_WORK: tuple[Colour, str] = ("blue", ":material/play_circle:")

_SOON = 0.25
"""Seconds that a page waits for what is computed: most of it needs no word then."""

_MISSED = "asked for quietly and not there"
"""Key of the state of a session."""


def watch(job: Job | None, draw: Callable[[], object], every: float = 1.0) -> None:
    """Call ``draw`` now and, while the job is active, again every so many seconds.

    When the job ends the whole page runs once more, so that what comes after the job appears.
    """
    active = job is not None and job.active

    @st.fragment(run_every=every if active else None)
    def part() -> None:
        """What is drawn anew while the job is active."""
        with users.acting_for(users.current()):  # looked up once
            draw()
        if active and job is not None and not job.active:
            st.rerun()

    # A part that runs again takes its unsent elements out of the queue, also its own place among
    # those of the page; what the page wrote after it would then come to a place that has no
    # predecessor, which a browser refuses. The place belongs to the page instead.
    with st.container():
        part()


def computed(
    what: str,
    subject: Hashable,
    function: Callable[[], T],
    state: Hashable = None,
    *,
    price: Estimate | None = None,
    quiet: bool = False,
    patient: bool = True,
) -> T | None:
    """What ``function`` gives, computed in the background and then kept.

    Until it is there, the page says so and shows what there was before (None: nothing).

    Args:
        what: is computed, as people say it.
        subject: what the value is of.
        function: called in another thread.
        state: of the subject; the value of another state is what there was before.
        price: what it takes, where that depends on what somebody has made.
        quiet: say nothing, in a part of the page that is soon drawn again anyway: while something
            else is watched, or because the same is asked for further down, not quietly.
        patient: wait a moment for it where there was something before; a part that is drawn every
            second does not, and shows it the next time.

    Raises:
        InputError: what went wrong, or that it would take too long on this server.
    """
    check = None if price is None else functools.partial(limits.check_page, price, what)
    value, job = background.computed(subject, function, state, check)
    if job is not None and (patient or value is None) and job.wait(_SOON):
        value, job = background.computed(subject, function, state, check)
    missed: set[Hashable] = st.session_state.setdefault(_MISSED, set())
    if quiet:
        (missed.discard if job is None else missed.add)(subject)
    elif job is None and subject in missed:  # it came after the part further up was drawn
        missed.discard(subject)
        st.rerun()
    if job is not None and not quiet:
        watch(job, lambda: st.caption(f":material/hourglass_top: Computing {what}"), every=0.5)
        if not job.active:  # it ended before it was watched
            st.rerun()
    return value


_LOOK = component("fisherdash_look", js=viewer.source(("look",)))


def begun(job: Job) -> None:
    """Remember what a button of this page has begun, for :func:`look_here`."""
    st.session_state["begun"] = job.id


def look_here(job: Job, moment: str = "") -> None:
    """Where the status of a job stands that was begun on this page: it comes into view then, and
    again when the job ends, as what came of it would be below the window.

    ``moment``: another one at which it comes into view, for example its first curve.
    """
    if st.session_state.get("begun") == job.id:
        into_view(job.id, "look here", moment=moment or ("begun" if job.active else "ended"))


def into_view(
    what: str, key: str, edge: Literal["start", "end"] = "start", moment: str = ""
) -> None:
    """The browser moves this place to that edge of the window, once for each ``moment`` of
    ``what``; after the first only where it is still in the window."""
    _LOOK(data={"what": what, "block": edge, "moment": moment}, key=key)


def follow(job: Job, every: float = 0.5) -> None:
    """One job, watched until it ends."""
    watch(job, functools.partial(job_line, job), every)


def job_line(job: Job) -> None:
    """One job: a badge, a bar and what is known."""
    colour, icon = _BADGES.get(job.stage, _AT_WORK)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(job.stage, icon=icon, color=colour)
        st.markdown(f"**{plain(job.title)}**")
        if job.active:
            st.button(
                "Cancelling" if job.cancelling else "Cancel",
                key=f"cancel {job.id}",
                icon=":material/stop_circle:",
                disabled=job.cancelling,
                on_click=job.cancel,
            )
        st.caption(plain(facts(job)))  # the last: where it is too long, it alone goes below
    if job.active:
        st.progress(job.progress.fraction)
    if job.error:
        st.error(plain(job.error), icon=":material/error:")


def job_list(kind: str, most: int = 6) -> None:
    """The latest jobs of one kind."""
    for job in jobs.every(kind)[:most]:
        with st.container(border=True):
            job_line(job)


def facts(job: Job) -> str:
    """A job in a few words: work done, speed, time, device, place in the queue."""
    progress, words = job.progress, []
    if job.status == "queued":
        return behind(job) or "starting"
    if progress.detail:
        words.append(progress.detail)
    if progress.rate and job.active:  # of the last moment
        words.append(f"{progress.rate:,.3g} {progress.rate_unit}")
    if job.active and progress.stage == "starting":
        words.append("loading libraries and data")
    if job.active and progress.stage == "compiling":
        words.append("compiling takes 5 to 30 s, once for each kind of network")
    left = job.seconds_left
    if job.active and left is not None and progress.stage not in ("loading", "solving"):
        words.append(f"{duration(left, exact=True)} left")
    so_far = duration(job.seconds, exact=True)
    words.append(f"{so_far} so far" if job.active else f"took {so_far}")
    if progress.device:
        words.append(progress.device)
    return ", ".join(words)


def behind(job: Job) -> str:
    """What a queued job waits for, in words; "" where it is next."""
    ahead = jobs.before(job)
    if not ahead:
        return ""
    first, more = ahead[0], len(ahead) - 1
    mine = first.within_reach_of(users.current())
    what = first.title if first.kind in first.title else f"{first.kind} ({first.title})"
    words = f"waits for {what}" if mine else "waits for another user's job"
    left = first.seconds_left
    words += f", {duration(left, exact=True)} left" if left is not None else ""
    return f"{words}, and {more} more" if more else words


def plain(text: str) -> str:
    """What people typed or sent in a file, with nothing in it that Markdown would interpret."""
    line = _LINK.sub(lambda found: f"{found[0]}\u2060", " ".join(text.split()))
    escaped = "".join(f"\\{letter}" if letter in _SPECIAL else letter for letter in line)
    return _LIST.sub(r"\1\\\2", escaped)


@contextlib.contextmanager
def door(later: str = "") -> Iterator[None]:
    """Show an InputError raised inside as its sentence and go on after the block (or function).

    What a button calls runs before the page is drawn: the page shows its mistake ``later``, where
    it calls :func:`complaint` with the same word.
    """
    try:
        yield
    except InputError as error:
        if later:
            st.session_state[f"{later} error"] = str(error)
        else:
            complain(error)


def attempt(function: Callable[..., object], later: str = "") -> Callable[..., None]:
    """What a button calls: the function, with its mistakes shown as :func:`door` does."""

    def attempted(*arguments: object) -> None:
        """The function within the door."""
        with door(later):
            function(*arguments)

    return attempted


def complaint(later: str) -> None:
    """What went wrong in a :func:`door` of that word, once."""
    if problem := st.session_state.pop(f"{later} error", None):
        complain(problem)


def complain(problem: object) -> None:
    """What was wrong, as text: a sentence may quote what was in somebody's file."""
    st.error(plain(str(problem)), icon=":material/error:")


def next_step(sentence: str, page: str, label: str) -> None:
    """What to do when a page has nothing to show yet."""
    st.info(sentence, icon=":material/info:")
    onward(page, label)


def heading(words: str) -> str:
    """A heading for screen readers and outlines, where the room belongs to charts."""
    return f'<h1 style="position: absolute; height: 1px; overflow: hidden">{words}</h1>'


def onward(page: str, label: str) -> None:
    """A link to another page, by its file's name."""
    st.page_link(f"pages/{page}.py", label=plain(label), icon=":material/arrow_forward:")


def kept_as(path: Path) -> str:
    """What to say of a file that a job has written, also once it was renamed or deleted."""
    name = plain(path.stem)
    return f"Kept as {name}" if path.exists() else f"{name} was renamed or deleted since"


def command(*lines: str) -> None:
    """The shell commands behind the numbers above, folded away."""
    with st.expander("The same from a shell", icon=":material/terminal:"):
        st.code("\n".join(lines), language="bash", wrap_lines=True)


def running_jobs() -> None:
    """Active jobs with their stage and progress; nothing at all when there are none."""
    active = [job for job in jobs.every() if job.active]
    if not active:
        return
    st.caption("At work")
    watch(active[0], _lines, every=2.0)


def _lines() -> None:
    for job in jobs.every():
        if not job.active:
            continue
        left = job.seconds_left if job.stage not in ("solving", "loading") else None
        words = job.stage if left is None else f"{job.stage}, {duration(left, exact=True)} left"
        if job.status == "queued":
            words = behind(job) or "starting"
        st.progress(job.progress.fraction, text=plain(f"{job.kind}: {words}"))


_PENDING = "question"


class _Asked(NamedTuple):
    at: float
    words: str
    submit: Callable[[], Job]
    then: Callable[[Job], object]


def begin(submit: Callable[[], Job], then: Callable[[Job], object] = begun) -> None:
    """Begin a job, or ask first where it is large.

    Args:
        submit: puts the job into the queue.
        then: called with the job once it is there.

    Raises:
        InputError: what ``submit`` refuses.
    """
    st.session_state.pop(_PENDING, None)
    try:
        job = submit()
    except limits.Question as question:
        st.session_state[_PENDING] = _Asked(time.time(), str(question), submit, then)
    else:
        then(job)


def question() -> None:
    """The question that waits for an answer, with the answers; nothing without one."""
    complaint("asked")
    asked: _Asked | None = st.session_state.get(_PENDING)
    if asked is None:
        return
    into_view(f"question {asked.at}", "look at the question")
    with st.container(border=True):
        words = f"{asked.words[0].upper()}{asked.words[1:]}"
        st.warning(f"{plain(words)}. Begin all the same?", icon=":material/help:")
        with st.container(horizontal=True):
            st.button("Begin it", icon=":material/play_arrow:", type="primary", on_click=_begin)
            st.button("Leave it", icon=":material/close:", on_click=_leave)


@door("asked")
def _begin() -> None:
    asked: _Asked = st.session_state.pop(_PENDING)
    with limits.agreed():
        asked.then(asked.submit())


def _leave() -> None:
    st.session_state.pop(_PENDING, None)


_MOST = 5
_FOLDERS = ("run", "training")
_NAMES = {"runs": "Run", "trainings": "Training"}


def unfinished_work(*kinds: Work) -> None:
    """Unfinished runs and trainings, but for those that are queued, with buttons to go on."""
    at_work = {job.info.get(name) for job in jobs.every() if job.active for name in _FOLDERS}
    found = [entry for entry in interrupted(*kinds) if entry.folder not in at_work]
    if not found:
        return
    with st.container(border=True):
        st.markdown("**Unfinished work**")
        for entry in found[:_MOST]:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(plain(entry.title), width="content")
                st.caption(f"{_NAMES[entry.kind]}, {entry.how_far}", width="stretch")
                go_on_button(entry.folder)
                st.button(
                    "Leave it",
                    key=f"leave {entry.folder}",
                    icon=":material/close:",
                    on_click=attempt(dismiss),
                    args=(entry.folder,),
                    help="Nothing is deleted; it is only not listed here any more.",
                )
        if len(found) > _MOST:
            st.caption(f"And {len(found) - _MOST} more, older ones.")


def go_on_button(folder: Path) -> None:
    """Resumes a run or a training exactly where it was."""
    st.button(
        "Go on",
        key=f"go on {folder}",
        icon=":material/resume:",
        on_click=attempt(begin),
        args=(functools.partial(submit.resumption, folder),),
        help="Continues exactly where it was stopped.",
    )
