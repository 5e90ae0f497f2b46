"""What anybody who reaches the requests' topic can write there does not fill a node's log."""

from structlog.testing import capture_logs

from tests.support.runs import ThreeNodes


async def test_messages_that_are_no_requests_are_one_line_a_minute():
    nodes = ThreeNodes()
    answering = nodes.nodes[0].desk.answering
    with capture_logs() as lines:
        for offset in range(50):
            assert not await answering.hear(offset, b"junk")
    assert [(line["event"], line["count"], line["offset"]) for line in lines] == [("requests ignored", 1, 0)]
    assert nodes.nodes[0].records == []
