"""Pydantic's faults as their reader sees them."""

import pytest
from pydantic import BaseModel, Field, ValidationError, model_validator

from policy.faults import fault_lines, one_line


class Door(BaseModel):
    width: int = Field(gt=0)
    keys: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _open(self) -> "Door":
        if self.width > 9:
            raise ValueError("too wide a door")
        return self


@pytest.mark.parametrize(("written", "lines"), [
    ({"width": 0}, ["width: Input should be greater than 0"]),
    ({"width": 10}, ["too wide a door"]),
    ("swordfish", ["Input should be a valid dictionary or instance of Door"]),
    ({"keys": [1, "swordfish"]}, [
        "width: Field required",
        "keys.1: Input should be a valid integer, unable to parse string as an integer",
    ]),
])
def test_each_fault_says_where_and_what_and_never_shows_the_value(written, lines):
    with pytest.raises(ValidationError) as caught:
        Door.model_validate(written)
    assert fault_lines(caught.value) == lines
    assert one_line(caught.value) == "; ".join(lines)
    assert "swordfish" not in one_line(caught.value)
