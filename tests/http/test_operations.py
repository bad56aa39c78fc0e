"""Health on every listener, figures where they are served."""

from homeserver.http.endpoint import Surface
from homeserver.http.operations import HealthEndpoints, MetricsEndpoints
from homeserver.runtime.metrics import Metrics
from tests.http.conftest import Serve


def test_health_is_told_on_every_listener(serve: Serve) -> None:
    site = serve(HealthEndpoints(), served={Surface.FEDERATION})

    assert site.request("GET", "/_columba/health").json == {"status": "ok"}


def test_figures_are_told_only_where_metrics_are_served(serve: Serve) -> None:
    metrics = Metrics()
    metrics.observe_request("/x", 200, cpu_s=0.1, wall_s=0.1)

    answer = serve(MetricsEndpoints(metrics), served={Surface.METRICS}).request("GET", "/_columba/metrics")
    elsewhere = serve(MetricsEndpoints(metrics), served={Surface.CLIENT}).request("GET", "/_columba/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b'columba_http_requests_total{endpoint="/x",status="200"} 1.0' in answer.body
    assert elsewhere.status == 404
