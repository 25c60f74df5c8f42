"""Admission: what there is room for, who takes it, and how it shrinks with the delay."""

from service.process.admission import GOAL_S, LEAST, Admission


def enter(admission: Admission, names: list[str]) -> None:
    for name in names:
        admission.enter(name)


def test_reads_leave_a_quarter_for_changes() -> None:
    admission = Admission(16)
    enter(admission, [f"p{each}" for each in range(11)])
    assert admission.admits("new", changes=False)
    admission.enter("p11")
    assert not admission.admits("new", changes=False)
    enter(admission, ["p12", "p13", "p14"])
    assert admission.admits("new", changes=True)
    admission.enter("p15")
    assert not admission.admits("new", changes=True)
    admission.leave("p0")
    assert admission.admits("new", changes=True)


def test_nobody_takes_more_than_half() -> None:
    admission = Admission(16)
    enter(admission, ["flood"] * 8)
    assert not admission.admits("flood", changes=True)
    assert admission.admits("other", changes=False)
    admission.leave("flood")
    assert admission.admits("flood", changes=True)


def test_the_room_shrinks_with_the_delay_and_comes_back() -> None:
    admission = Admission(40)
    for _ in range(100):
        admission.note(GOAL_S)
    assert admission.room == 40
    for _ in range(100):
        admission.note(2 * GOAL_S)
    assert 20 <= admission.room < 20.1
    for _ in range(100):
        admission.note(10.0)
    assert admission.room == LEAST, "never nothing, or it could not learn that things are better"
    for _ in range(60):  # three seconds of probes
        admission.note(0.001)
    assert admission.room == 40
