"""Temperatures of settings follow the model's own."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs the train extra")

from composir.train.config import USUAL, at_temperature
from composir.train.isa.objective import ObjectiveConfig
from composir.train.mapping.task import MapObjective
from composir.train.steering import SteeringConfig


def test_they_are_scaled_from_the_usual_one_to_the_models() -> None:
    plain = MapObjective(temperature=0.03, teacher_temperature=0.03, student_temperature=0.06)
    found = at_temperature(plain, 0.01)

    temperatures = (found.temperature, found.teacher_temperature, found.student_temperature)
    assert temperatures == pytest.approx((0.01, 0.01, 0.02))
    assert found.steering.temperature == pytest.approx(plain.steering.temperature / 3)
    assert found.steering.replaced == pytest.approx(plain.steering.replaced / 3)
    assert (
        found.changed(
            temperature=0.03,
            teacher_temperature=0.03,
            student_temperature=0.06,
            steering=plain.steering,
        )
        == plain
    )


def test_a_model_that_states_none_changes_nothing() -> None:
    plain = MapObjective()
    assert at_temperature(plain, None) is plain
    assert at_temperature(plain, USUAL) == plain


def test_zero_stays_zero_and_a_space_of_its_own_as_it_is() -> None:
    plain = ObjectiveConfig(steering=SteeringConfig(temperature=0.0, replaced=0.0))
    found = at_temperature(plain, 0.01, "lar")

    assert (found.steering.temperature, found.steering.replaced) == (0.0, 0.0)
    assert found.lar == plain.lar
    assert found.gcd.temperature == pytest.approx(plain.gcd.temperature / 3)
