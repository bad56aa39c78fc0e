"""What whoever runs the server asks it: is it well, and how busy.

What is counted is in runtime/metrics.py.
"""

from dataclasses import dataclass

from homeserver.http.endpoint import NONE, PlainRequest, Reply, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.runtime import metrics


@dataclass(frozen=True)
class HealthEndpoints:
    """Served on every listener: an answer means that the server runs."""

    @endpoint("GET", "/_columba/health", auth=NONE, limit=RateClass.FREE, spec="for load balancers and supervisors")
    async def health(self, _: PlainRequest) -> Reply:
        """The server is up."""
        return Reply({"status": "ok"})


@dataclass(frozen=True)
class MetricsEndpoints:
    """Served on listeners that serve `metrics`, which should not be public."""

    metrics: metrics.Metrics

    @endpoint("GET", "/_columba/metrics", auth=NONE, limit=RateClass.FREE, spec="for Prometheus")
    async def figures(self, _: PlainRequest) -> Reply:
        """All figures in Prometheus' text format."""
        return Reply(self.metrics.render(), headers=(("Content-Type", metrics.CONTENT_TYPE),))
