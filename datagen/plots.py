"""One page of plots of a world and its history, for people who know shops: would they believe it? Needs the extra `report` (matplotlib)."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from datagen.reading import looked_at
from datagen.report import Report, relative
from datagen.slices import SLICES
from services.errors import ConfigurationError

INK, ACCENT, PALE = "#1f3b57", "#c8553d", "#9fb8cc"
FORMATS = (".png", ".svg", ".pdf")


def check(out: Path) -> None:
    """Raises ConfigurationError when the name of the file says no format that can be written."""
    if out.suffix not in FORMATS:
        raise ConfigurationError(f"{out.name}: the page is written as {', '.join(FORMATS)}")


def draw(found: Report, out: Path) -> None:
    """Write the page. Raises ConfigurationError as `check`, and when matplotlib is not there."""
    check(out)
    try:
        from matplotlib.figure import Figure  # only this function needs it
    except ImportError:
        raise ConfigurationError("the page of plots needs matplotlib: pip install 'aisle[report]'") from None
    figure = Figure(figsize=(16, 17), layout="constrained")
    plots = (_prices, _popularity, _examination, _preference, _queries, _shares, _slices, _days, _oracles)
    for axes, plot in zip(figure.subplots(3, 3).flat, plots, strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        plot(axes, found)
        axes.title.set_fontsize(11)
    world = found.world
    figure.suptitle(
        f"World {world.settings.hash()}: {len(world.items):,} products, {len(world.users):,} users, {found.seen.pages:,} pages", fontsize=15
    )
    figure.savefig(out, dpi=110, metadata=None if out.suffix != ".svg" else {"Date": None})


def _prices(axes: Any, found: Report) -> None:
    """Boxes of the prices of ten categories, from cheap to dear, log scale."""
    items, words = found.world.items, found.world.words
    sizes = np.bincount(items.category, minlength=len(words.leaves))
    large = np.argsort(-sizes)[:60]
    median = {int(leaf): float(np.median(items.price_cents[items.category == leaf])) for leaf in large}
    ordered = sorted(median, key=lambda leaf: median[leaf])
    chosen = [ordered[i] for i in np.linspace(0, len(ordered) - 1, 10).astype(int)]
    axes.boxplot(
        [items.price_cents[items.category == leaf] / 100 for leaf in chosen],
        orientation="horizontal", whis=(5, 95), showfliers=False, medianprops={"color": ACCENT},
        tick_labels=[words.leaves[leaf].name for leaf in chosen],
    )  # fmt: skip
    axes.set(xscale="log", title="Prices by category (5 to 95 %)", xlabel="price")


def _popularity(axes: Any, found: Report) -> None:
    clicks = np.sort(np.array(list(found.seen.clicks.values())))[::-1]
    rank = np.arange(1, len(clicks) + 1)
    axes.loglog(rank, clicks, color=INK, label="clicks in the history")
    wanted = np.sort(np.exp(found.world.items.appeal))[::-1]
    axes.loglog(np.arange(1, len(wanted) + 1), wanted * clicks[0] / wanted[0], color=ACCENT, ls="--", label="appeal, planted")
    axes.set(title="Popularity of products", xlabel="rank", ylabel="clicks")
    axes.legend(frameon=False)


def _examination(axes: Any, found: Report) -> None:
    size, seen = found.world.settings.page_size, found.seen
    places = np.arange(1, size + 1)
    axes.plot(places, looked_at(found.world.settings, size), color=ACCENT, ls="--", label="planted")
    axes.plot(places, relative(seen.clicked_random, seen.shown_random), color=INK, marker="o", label="observed, randomised pages")
    axes.plot(places, relative(seen.clicked, seen.shown), color=PALE, marker="o", label="observed, all pages")
    axes.set(title="Looked at, by place (first = 1)", xlabel="place on the page", ylim=(0, 1.05))
    axes.legend(frameon=False)


def _preference(axes: Any, found: Report) -> None:
    """Click rate by how much the shopper likes what is shown, in tenths."""
    liked, clicked = np.array(found.seen.liked), np.array(found.seen.liked_clicked)
    cuts = np.quantile(liked, np.linspace(0, 1, 11)[1:-1])
    tenth = np.searchsorted(cuts, liked, side="right")
    axes.bar(np.arange(1, 11), np.bincount(tenth, clicked, 10) / np.maximum(np.bincount(tenth, minlength=10), 1), color=INK)
    axes.set(title="Click rate by how much the user likes a product", xlabel="tenth of preference, least to most", ylabel="click rate")
    axes.set_xticks(np.arange(1, 11))


def _queries(axes: Any, found: Report) -> None:
    counts = np.array(sorted(Counter(found.queries["text"].to_pylist()).values(), reverse=True))
    axes.loglog(np.arange(1, len(counts) + 1), counts, color=INK)
    once = float((counts == 1).sum() / counts.sum())
    axes.set(title=f"Query frequency ({once:.0%} asked only once)", xlabel="rank", ylabel="times asked")


def _shares(axes: Any, found: Report) -> None:
    shares = found.seen.shares()
    axes.barh(list(shares)[::-1], list(shares.values())[::-1], color=[PALE, *[INK] * 4])
    axes.set(title="Parts of utility within a page", xlabel="share of what features could see; hidden is on top")


def _slices(axes: Any, found: Report) -> None:
    labels = Counter(label for row in found.queries["slices"].to_pylist() for label in row)
    shares = [labels[name] / len(found.queries) for name in SLICES]
    bars = axes.barh(SLICES[::-1], shares[::-1], color=INK)
    axes.bar_label(bars, [f"{share:.1%}" for share in shares[::-1]], padding=3)
    axes.set(title="Slices: share of queries", xlim=(0, max(shares) * 1.15))


def _days(axes: Any, found: Report) -> None:
    """Sessions have weeks; the rate of clicks must not drift by itself."""
    ts_ms = found.queries["ts_ms"].to_numpy()
    day = (ts_ms - found.world.settings.start_ms) // 86_400_000
    axes.plot(np.bincount(day), color=INK, label="queries")
    axes.set(title="Queries and purchases a day", xlabel="day", ylim=(0, None))
    other = axes.twinx()
    other.plot(found.seen.purchases_by_day(found.world.settings), color=ACCENT, label="purchases")
    other.set(ylim=(0, None))
    axes.legend(frameon=False, loc="lower left")
    other.legend(frameon=False, loc="lower right")


def _oracles(axes: Any, found: Report) -> None:
    means = sorted((float(np.mean(v)), 1.96 * float(np.std(v)) / len(v) ** 0.5, name) for name, v in found.seen.ndcg.items())
    axes.errorbar(
        [m for m, _, _ in means], [name for _, _, name in means], xerr=[e for _, e, _ in means], fmt="o", color=INK, ecolor=ACCENT
    )
    axes.set(title="Orders of the shown pages: nDCG of clicks")
