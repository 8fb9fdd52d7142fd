"""What the warp network's policies see and may do: straight courses, still pictures, shapes that are kept."""

from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from flowgimbal.engines.motion import LANES  # noqa: E402
from flowgimbal.engines.networks.policies import (  # noqa: E402
    AHEAD,
    COURSES,
    ROOMS,
    LanePolicy,
    Policy,
    TransformerPolicy,
    courses,
)
from flowgimbal.engines.networks.warp import BEND, keep_shapes, lane_fields  # noqa: E402
from flowgimbal.engines.plan import PLANNED  # noqa: E402
from flowgimbal.engines.shapes import RAW, TAPS  # noqa: E402
from flowgimbal.engines.timeline import BINS, bin_means  # noqa: E402

CONDITIONS = [[0.8, 0.0, 0.0, -0.5]]  # 30 frames a second
Path = Callable[[np.ndarray], np.ndarray]


def test_a_course_that_stays_in_the_tube_is_kept() -> None:
    first, turns = courses_of(raw=lambda t: 0.1 * np.sin(9 * t), shown=lambda t: 0.05 * t)
    assert first == pytest.approx(0.05 / 30, abs=1e-5)
    assert turns.abs().max() == 0


def test_a_course_turns_when_it_has_to_and_no_further_than_the_tube_lets_it() -> None:
    first, turns = courses_of(raw=lambda t: np.where(t > 0.21, 3.0, 0.0), shown=lambda t: 0.0 * t)
    assert first == 0
    assert (turns[..., :6] == 0).all()  # up to a fifth of a second the picture may stay
    below, above = turns[..., 6]
    # The last moment before the jump is six and a half frames off: along the upper wall there.
    assert below.tolist() == pytest.approx([room / 6.5 for room in ROOMS], rel=1e-4)
    assert (above > below).all()  # no straight course serves both walls


def test_nothing_is_known_of_what_was_not_seen() -> None:
    taps = window_of(lambda t: 5 * t, lambda t: 5 * t)
    cover = torch.ones(1, RAW + BINS)
    cover[:, BINS:RAW] = 0
    turns = courses(taps, cover, torch.tensor(CONDITIONS))[0, 0, 1:].reshape(2, len(ROOMS), len(AHEAD))
    assert torch.equal(turns, turns[..., :1].expand_as(turns))


@pytest.mark.parametrize("policy", [LanePolicy, TransformerPolicy])
def test_a_picture_that_stands_still_is_left_alone(policy: type[Policy]) -> None:
    torch.manual_seed(3)
    decide = policy()
    torch.nn.init.normal_(decide.head.weight, std=0.1)
    offsets, _ = decide(torch.zeros(1, LANES, TAPS), torch.ones(1, RAW + BINS), torch.tensor(CONDITIONS))
    assert torch.equal(offsets, torch.zeros(1, LANES))


@pytest.mark.parametrize("policy", [LanePolicy, TransformerPolicy])
def test_the_plan_is_followed_as_far_as_it_is_trusted(policy: type[Policy]) -> None:
    torch.manual_seed(5)
    decide = policy()
    torch.nn.init.normal_(decide.head.weight, std=0.1)
    cover = torch.ones(2, RAW + BINS)
    cover[:, BINS:RAW] = 0
    seen = torch.randn(2, LANES, TAPS), cover, torch.tensor(CONDITIONS).expand(2, -1)
    plan, decided = seen[0][..., -1], {}
    for logit in (-50.0, 0.0, 50.0):
        torch.nn.init.constant_(decide.trust.say[-1].bias, logit)
        decided[logit] = decide(*seen)[0]
    assert torch.allclose(decided[50.0][:, :PLANNED], plan[:, :PLANNED])
    assert (decided[-50.0] - plan)[:, :PLANNED].abs().min() > 1e-4
    assert torch.allclose(decided[0.0], (decided[50.0] + decided[-50.0]) / 2, atol=1e-6)
    assert torch.equal(decided[50.0][:, PLANNED:], decided[-50.0][:, PLANNED:])  # nothing is planned there


def test_the_plan_is_trusted_half_the_way_where_anything_ahead_is_known() -> None:
    decide = LanePolicy()
    torch.nn.init.zeros_(decide.head.bias)
    plan, known = torch.zeros(1, LANES, TAPS), torch.ones(1, RAW + BINS)
    plan[..., -1] = 1.0
    unknown, partly = known.clone(), known.clone()
    unknown[:, BINS:RAW] = 0
    partly[:, BINS:RAW] = 0
    partly[:, BINS] = 0.5

    def followed(cover: torch.Tensor) -> torch.Tensor:
        return decide(plan, cover, torch.tensor(CONDITIONS))[0]

    half = followed(known)
    assert half[0, :PLANNED].tolist() == pytest.approx([0.5] * PLANNED)
    assert 0.2 < followed(unknown)[0, 0] < 0.3
    assert followed(unknown)[0, 0] + 0.05 < followed(partly)[0, 0] < 0.45
    torch.nn.init.constant_(decide.trust.say[-1].bias, -50.0)
    assert followed(unknown).abs().max() < 1e-6
    assert torch.equal(followed(known), half)


def test_shapes_are_kept_at_every_corner() -> None:
    torch.manual_seed(4)
    aspect, crop = 0.6, 0.1
    room = torch.full((50,), crop), torch.full((50,), aspect)
    wanted = torch.randn(50, LANES)
    kept = keep_shapes(wanted, *room)
    assert torch.equal(kept[:, :4], wanted[:, :4])
    assert max(bend(lanes, crop, aspect) for lanes in wanted) > 2 * BEND
    assert max(bend(lanes, crop, aspect) for lanes in kept) < 1.001 * BEND
    assert torch.allclose(keep_shapes(0.01 * wanted, *room), 0.01 * wanted)


def bend(lanes: torch.Tensor, crop: float, aspect: float) -> float:
    """By how much the offset of ``lanes`` makes an ellipse of a circle at a corner, at most: to first order."""
    x, y = (torch.tensor(side, requires_grad=True) for side in ([-1.0, 1.0, -1.0, 1.0], [-1.0, -1.0, 1.0, 1.0]))
    u, v = crop * torch.einsum("l,lcn->cn", lanes, lane_fields(x, y, torch.tensor([aspect]))[0])
    (u_x, u_y), (v_x, v_y) = (torch.autograd.grad(part.sum(), (x, y), retain_graph=True) for part in (u, v))
    along, across = (u_x - v_y) / 2, (u_y / aspect + v_x * aspect) / 2  # in pixels, which are square
    return float(torch.hypot(along, across).max())


def window_of(raw: Path, shown: Path) -> torch.Tensor:
    """Taps (1, LANES, TAPS), all lanes alike, of paths over time [s]; the due frame is at 0."""
    away = np.arange(62) / 30
    before = -(away + 1 / 30)
    taps = [
        bin_means(away, raw(-away))[0],
        bin_means(away, raw(away))[0],
        shown(before)[:1],
        bin_means(away, shown(before))[0],
    ]
    return torch.from_numpy(np.concatenate(taps)).float().expand(1, LANES, -1)


def courses_of(raw: Path, shown: Path) -> tuple[float, torch.Tensor]:
    """Where the course as before leads, and the turns (2, ROOMS, AHEAD) that others take from it."""
    led = courses(window_of(raw, shown), torch.ones(1, RAW + BINS), torch.tensor(CONDITIONS))
    assert led.shape == (1, LANES, COURSES)
    return float(led[0, 0, 0]), led[0, 0, 1:].reshape(2, len(ROOMS), len(AHEAD))
