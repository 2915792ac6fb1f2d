"""Settings: of the method, of reading together, keys, generators, and where everything is kept."""

import re
from collections.abc import Mapping
from typing import Any

import streamlit as st

from mars_engine.core.config import MarsConfig, Setting, settings_of
from mars_engine.core.config.overrides import override_config
from mars_engine.core.records import GeneratorCard, content_id
from mars_engine.service.desk import Desk
from mars_engine.service.generator_cards import generator_cards
from mars_engine.workspace.workspace import CONFIG_FILE, save_config
from pages.parts.drawing.numbers import as_text
from pages.parts.drawing.tables import draw_table
from pages.parts.frame.forms import in_words, section_form, verbatim
from pages.parts.frame.page import page, presenting
from pages.parts.frame.words import explain
from pages.parts.review.settings_keys import draw_keys

SECTIONS = METHOD, PEOPLE, KEYS, GENERATORS, WORKSPACE = "Method", "People", "Keys", "Generators", "Workspace"
"""Names of the sections, in the address too."""

METHOD_SECTIONS = (
    "encoder",
    "probe",
    "triage",
    "judge",
    "allocation",
    "gate",
    "propose",
    "seq2seq",
    "causal",
    "chat",
    "quality",
    "compose",
    "evaluate",
    "map",
)
PRESENTED_SECTIONS = ("triage", "allocation", "gate", "compose")
"""Those that say how the method is carried out, without names of files or models."""
CHOOSING = "propose"
"""The section that names the generators."""
CHECKSUM = re.compile(r"(?=.*\d)[0-9a-f]{8,64}")
SAVED = "settings saved"


def draw_method(desk: Desk) -> None:
    """Draw a form for each section of the configuration, and for the seed."""
    st.text(
        "They hold for everything that is done from now on, in the app and on the command line. A run can have its own "
        "on the Train page."
    )
    explain("suspect", "out-of-fold", "law", "signed", "absolute", "uniform", "fisher", "τ", "refined", "composed")
    config = desk.config
    # Under a new name when mars.toml has changed, so that the form shows what it says now.
    changes = section_form(config, METHOD_SECTIONS, f"settings-{_stamp(config)}", submit="Save")
    if changes is not None:
        _save(desk, changes)
    with st.form(f"seed-{_stamp(config)}", border=True):
        help_text = verbatim(MarsConfig.model_fields["seed"].description or "")
        seed = st.number_input("Seed of the folds", min_value=0, value=config.seed, step=1, help=help_text, width=200)
        if st.form_submit_button("Save the seed"):
            _save(desk, {"seed": int(seed)} if seed != config.seed else {})


def draw_reading_together(desk: Desk) -> None:
    """Draw on the page Settings how people share the reading, and who reads."""
    config = desk.config
    changes = section_form(config, ("review",), f"review-{_stamp(config)}", submit="Save")
    if changes is not None:
        _save(desk, changes)
    st.subheader("Known annotators", anchor=False)
    tallies = desk.store.browse.review_tallies()
    if not tallies:
        st.text("Nobody has decided anything yet. Whoever gives a name on Check or Review comes to stand here.")
        return
    events: dict[str, dict[str, int]] = {}
    for tally in tallies:
        counts = events.setdefault(tally.annotator, {"pair": 0, "proposal": 0})
        counts[tally.item_kind] += tally.events
    draw_table(
        "Known annotators",
        ("name", "acts in Check", "acts in Review"),
        [(name, f"{counts['pair']:,}", f"{counts['proposal']:,}") for name, counts in sorted(events.items())],
        numbers=("acts in Check", "acts in Review"),
    )
    st.page_link("pages/people.py", label="Agreement and disputes", icon=":material/group:")


def draw_generators(desk: Desk) -> None:
    """Draw who writes what people review, and the settings of those that have some."""
    st.text(f"Which of them write is chosen on the tab {METHOD}, under {in_words(CHOOSING)}: {_choosers()}.")
    if sections := generator_sections():
        config = desk.config
        changes = section_form(config, sections, f"generators-{_stamp(config)}", submit="Save")
        if changes is not None:
            _save(desk, changes)
    for card in _cards(str(desk.root), desk.config.model_dump_json(), desk):
        with st.container(border=True):
            st.text(f"{in_words(card.name)}, version {card.version}" + (" (stand-in)" if card.stand_in else ""))
            st.text(f"{card.note[:1].upper()}{card.note[1:]}.")
            if card.settings:
                rows = [(in_words(name), _shown(value)) for name, value in card.settings.items()]
                draw_table(f"Settings of {card.name}", ("setting", "value"), rows)


def generator_sections() -> tuple[str, ...]:
    """Return the sections that the page Settings draws for generators: each has the name of a choice in its own."""
    choices = {choice for setting in _choosing_settings() for choice in setting.choices}
    names = (name for name in MarsConfig.model_fields if name not in (*METHOD_SECTIONS, "review", "reward_model"))
    return tuple(name for name in names if any(choice in name for choice in choices))


def _choosing_settings() -> list[Setting]:
    """The settings whose choices are generators."""
    return [setting for setting in settings_of(CHOOSING) if setting.name in ("refiner", "paraphraser")]


def _choosers() -> str:
    return "; ".join(f"{in_words(each.name)} ({', '.join(each.choices)})" for each in _choosing_settings())


def _shown(value: Any) -> str:
    """A value in words; of a checksum its beginning, which tells one from another."""
    text = as_text(value)
    return f"checksum {text}" if isinstance(value, str) and CHECKSUM.fullmatch(value) else text


@st.cache_data(max_entries=4, show_spinner="Looking at the generators")
def _cards(root: str, settings: str, _desk: Desk) -> tuple[GeneratorCard, ...]:  # noqa: ARG001 (the cache's key)
    return generator_cards(_desk.workspace)


def draw_workspace(desk: Desk) -> None:
    """Draw where everything is kept, without any secret, and how the app looks."""
    draw_table(
        "Where everything is kept",
        ("what", "where"),
        [
            ("workspace", str(desk.root)),
            ("settings", str(desk.root / CONFIG_FILE)),
            ("database", desk.store.database.place),
            ("models, exports, backups", str(desk.workspace.artifacts.resolve())),
        ],
    )
    st.text("The database is named in mars.toml alone (database_url); its password is never shown.")
    st.subheader("Looks", anchor=False)
    st.text(
        "Light or dark follows your system; the menu ⋮ at the top right, under Settings, chooses one. “Present” below "
        "the list of pages shows them to others, read-only and in large type."
    )


def draw_presented(desk: Desk) -> None:
    """Draw how the method is set, for an audience; nothing of this machine."""
    rows = [
        (in_words(section), in_words(setting.name), as_text(getattr(getattr(desk.config, section), setting.name)))
        for section in PRESENTED_SECTIONS
        for setting in settings_of(section)
    ]
    draw_table("How the method is set", ("step", "setting", "value"), rows, numbers=("value",))


def _stamp(config: MarsConfig) -> str:
    return content_id(config.model_dump_json())


def _save(desk: Desk, changes: Mapping[str, Any]) -> None:
    """Store changed settings, by section or the seed, and draw the page again."""
    sections = {name: values for name, values in changes.items() if isinstance(values, Mapping)}
    config = override_config(desk.config, sections, origin="this form")
    if "seed" in changes:
        config = config.model_copy(update={"seed": changes["seed"]})
    if config != desk.config:
        save_config(desk.workspace, config)
    st.session_state[SAVED] = [
        f"{section}.{name} = {value}" for section, values in sections.items() for name, value in values.items()
    ] + [f"seed = {config.seed}" for name in changes if name == "seed"]
    st.rerun()


def _draw_saved() -> None:
    saved: list[str] | None = st.session_state.pop(SAVED, None)
    if saved is not None:
        st.text(f"✓ Saved to {CONFIG_FILE}: {', '.join(saved)}" if saved else "Nothing was changed.")


def draw(desk: Desk) -> None:
    if presenting():
        draw_presented(desk)
        return
    chosen = st.segmented_control(
        "Which settings",
        SECTIONS,
        default=METHOD,
        required=True,
        label_visibility="collapsed",
        key="settings",
        bind="query-params",
        wrap=True,
    )
    _draw_saved()
    if chosen == PEOPLE:
        draw_reading_together(desk)
    elif chosen == KEYS:
        draw_keys(desk)
    elif chosen == GENERATORS:
        draw_generators(desk)
    elif chosen == WORKSPACE:
        draw_workspace(desk)
    else:
        draw_method(desk)


with page("Settings", purpose="Kept in the workspace's mars.toml; its comments are kept too.") as desk:
    draw(desk)
