"""What the trainer has to tell the operator: news not sent yet, and messages sent but not acknowledged.

Points are never dropped; progress, validation and checkpoints are replaced by newer ones until they are put in a
message. A message keeps its number and content until it is acknowledged, so that it can be sent again.
"""

import threading
from collections import deque

from polar.gen import telemetry_pb2 as pb

MAX_POINTS = 1000
MAX_IN_FLIGHT = 8


class Mailbox:
    """Thread-safe. Messages are numbered from `first_seq`; at most MAX_IN_FLIGHT are unacknowledged, the rest waits as
    news."""

    def __init__(self, run_uid: str, attempt: int, resumed_from_step: int, *, first_seq: int = 1) -> None:
        self._base = pb.ReportRequest(run_uid=run_uid, attempt=attempt, resumed_from_step=resumed_from_step)
        self._changed = threading.Condition()
        self._points: list[pb.Point] = []
        self._news = pb.ReportRequest()
        self._has_news = False
        self._urgent = False
        self._unacked: deque[pb.ReportRequest] = deque()
        self._seq = first_seq - 1

    def add_points(self, points: list[pb.Point]) -> None:
        """Adds curve points."""
        with self._changed:
            self._points.extend(points)

    def put(self, news: pb.ReportRequest, *, urgent: bool = False) -> None:
        """Replaces the fields that `news` sets; urgent news does not wait for the next interval."""
        with self._changed:
            for field, _ in news.ListFields():
                self._news.ClearField(field.name)
            self._news.MergeFrom(news)
            self._has_news = True
            self._urgent = self._urgent or urgent
            if urgent:
                self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Waits for the next interval, urgent news or `wake`."""
        with self._changed:
            self._changed.wait_for(lambda: self._urgent, seconds)
            self._urgent = False

    def wake(self) -> None:
        """Ends a `wait`."""
        with self._changed:
            self._urgent = True
            self._changed.notify_all()

    def outgoing(self, after_seq: int) -> list[pb.ReportRequest]:
        """Makes messages of the news and returns the unacknowledged ones numbered above `after_seq`, in order."""
        with self._changed:
            while len(self._unacked) < MAX_IN_FLIGHT and (self._points or self._has_news):
                self._unacked.append(self._next_message())
            return [message for message in self._unacked if message.seq > after_seq]

    def beat(self) -> None:
        """Makes a message without news, unless one is on its way already: only to be heard."""
        with self._changed:
            self._has_news = self._has_news or not self._unacked

    def ack(self, seq: int) -> None:
        """Forgets the messages up to and including `seq`."""
        with self._changed:
            while self._unacked and self._unacked[0].seq <= seq:
                self._unacked.popleft()
            if self._points or self._has_news:
                self._urgent = self._urgent or self._news.final or len(self._points) > MAX_POINTS
            self._changed.notify_all()

    def wait_until_empty(self, seconds: float) -> bool:
        """Waits until everything is acknowledged; False when the time was not enough."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._unacked or self._points or self._has_news), seconds)

    def _next_message(self) -> pb.ReportRequest:
        self._seq += 1
        message = pb.ReportRequest(seq=self._seq, points=self._points[:MAX_POINTS])
        message.MergeFrom(self._base)
        del self._points[:MAX_POINTS]
        if not self._points:
            message.MergeFrom(self._news)
            self._news, self._has_news = pb.ReportRequest(), False
        return message
