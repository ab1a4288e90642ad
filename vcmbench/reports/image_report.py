"""What a report has of single images: contact sheets, and for the page the best and worst images.

Names and values are in every report, pictures only where the job says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vcmbench.feature_tables import ORIGINAL
from vcmbench.reports.grid import Grid
from vcmbench.reports.image_choice import choose_settings
from vcmbench.reports.image_embedding import MOST_PAIRS, Embedded, Pair, embed
from vcmbench.reports.image_figures import delete_figures, images_to_show, write_figures
from vcmbench.reports.image_ranking import CURVES, LISTED, Meeting, Ranked, Ranking
from vcmbench.reports.image_rows import stored_images
from vcmbench.reports.pictures import Showing, told
from vcmbench.reports.readings import Readings
from vcmbench.results import RunDirectory
from vcmbench.run_index import Index

FAR_APART = 1.1
"""Mean rates that differ by more than this factor are told."""

NO_PICTURES = Embedded({}, {}, 0)


@dataclass(frozen=True)
class ImageSection:
    """The page's section: what its script shows, and sentences that stand under it.

    `data` has the `meetings` of curves with the anchor, in them the `rankings` by metric column. Rankings name `images` by
    their place, and `pictures` and `problems` are by such a place and a setting's, −1 for the original.
    """

    anchor: str
    data: Mapping[str, Any]
    notes: tuple[str, ...]


def report_images(
    run: RunDirectory, index: Index, grid: Grid, readings: Readings, showing: Showing | None
) -> ImageSection | None:
    """Write the contact sheets, or delete former ones where no image is to be shown; return the page's section.

    None where no curve can be compared with the anchor. Raises `UsageError` for a setting that the job wants shown and the
    run does not have, and for results that cannot be read.
    """
    met, ranked = readings.meetings[:CURVES], readings.rankings
    names = _names(grid, ranked)
    shown = choose_settings(index, readings.summary, showing.settings) if showing else None
    if showing and shown:
        to_show = images_to_show(index, grid, showing, shown)
        write_figures(run, index, showing, to_show, shown)
    else:
        delete_figures(run)
    if not readings.anchor or not any(ranked.values()):
        return None
    pairs = list(itertools.islice(_pairs(index, names, met, ranked), MOST_PAIRS))
    embedded = NO_PICTURES
    if showing:
        embedded = embed(stored_images(run, index, {pair.image for pair in pairs}), showing, pairs)
        for problem in told(_problems(index, embedded)):
            showing.warn(f"page: {problem}")
    data = _data(index, names, met, ranked, embedded)
    return ImageSection(readings.anchor, data, tuple(_notes(met, len(readings.meetings), showing, embedded)))


def _names(grid: Grid, ranked: Mapping[str, Sequence[Ranking]]) -> dict[int, str]:
    """The listed images: place in the grid → name."""
    places = {each.image for all_of_curve in ranked.values() for one in all_of_curve for each in (*one.best, *one.worst)}
    return {place: grid.images[place].as_py() for place in sorted(places)}


def _pairs(
    index: Index, names: Mapping[int, str], met: Sequence[Meeting], ranked: Mapping[str, Sequence[Ranking]]
) -> Iterator[Pair]:
    """Every listed image once for each curve: first the extremes of all curves and metrics, then those next to them."""
    seen: set[tuple[int, str]] = set()
    for rank in range(LISTED):
        for meeting in met:
            settings = index.settings[meeting.anchor], index.settings[meeting.setting]
            for ranking in ranked[meeting.curve]:
                for each in (*ranking.worst[rank : rank + 1], *ranking.best[rank : rank + 1]):
                    if (each.image, meeting.curve) not in seen:
                        seen.add((each.image, meeting.curve))
                        yield Pair(names[each.image], settings)


def _data(
    index: Index,
    names: Mapping[int, str],
    met: Sequence[Meeting],
    ranked: Mapping[str, Sequence[Ranking]],
    embedded: Embedded,
) -> dict[str, Any]:
    places = {image: place for place, image in enumerate(names)}
    image_places = {name: place for place, name in enumerate(names.values())}
    setting_places = {ORIGINAL: -1, **{setting.key: place for place, setting in enumerate(index.settings)}}

    def by_place(found: Mapping[tuple[str, str], str]) -> dict[str, str]:
        return {f"{image_places[image]} {setting_places[key]}": value for (image, key), value in found.items()}

    return {
        "images": list(names.values()),
        "flags": [name for name, column in index.columns.items() if column.dtype == "bool"],
        "meetings": [
            {
                "curve": meeting.curve,
                "setting": meeting.setting,
                "anchor": meeting.anchor,
                "names": [index.settings[place].variant for place in (meeting.anchor, meeting.setting)],
                "rates": [_short(meeting.anchor_rate), _short(meeting.rate)],
                "rankings": [
                    {
                        "column": ranking.column,
                        "images": ranking.images,
                        "best": [_row(each, places) for each in ranking.best],
                        "worst": [_row(each, places) for each in ranking.worst],
                    }
                    for ranking in ranked[meeting.curve]
                ],
            }
            for meeting in met
        ],
        "pictures": by_place(embedded.pictures),
        "problems": by_place(embedded.problems),
    }


def _problems(index: Index, embedded: Embedded) -> Iterator[tuple[str, str]]:
    names = {ORIGINAL: "original", **{setting.key: setting.variant for setting in index.settings}}
    for (_, key), problem in embedded.problems.items():
        yield names[key], problem


def _row(each: Ranked, places: Mapping[int, int]) -> list[float]:
    """The image's place, then the anchor's and the curve's value, and their bits per pixel."""
    return [places[each.image], *map(_short, (each.anchor_value, each.value, each.anchor_bpp, each.bpp))]


def _short(number: float) -> float:
    return float(f"{number:.7g}")


def _notes(met: Sequence[Meeting], curves: int, showing: Showing | None, embedded: Embedded) -> Iterator[str]:
    if len(met) < curves:
        yield f"The first {len(met)} of {curves} curves are listed."
    for meeting in met:
        if max(meeting.rate / meeting.anchor_rate, meeting.anchor_rate / meeting.rate) > FAR_APART:
            yield (
                f"{meeting.curve} meets the anchor at {meeting.rate:.3g} against {meeting.anchor_rate:.3g} bpp on average: "
                "no two of their settings are nearer, so that part of a difference is the rate's."
            )
    if not showing:
        yield "No picture is shown, because the job does not say report: {images: true}."
    elif embedded.pairs:
        yield f"Pictures, without loss, are here for {embedded.pairs} images × curves: the most extreme of each list first."
