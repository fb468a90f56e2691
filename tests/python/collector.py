"""Where do spans go? To a collector of OTLP over HTTP, here a real one that keeps them in memory."""

import dataclasses
import http.server
import threading

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse


@dataclasses.dataclass(frozen=True)
class Span:
    """One span, as it was exported; ids in hexadecimal digits."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    began: int
    ended: int
    attributes: dict


class Collector:
    """Listens on a free port of this machine."""

    def __init__(self):
        self.spans: list[Span] = []
        self._news = threading.Condition()
        collector = self

        class Take(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                is_right = (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
                self.send_response(200 if is_right else 400)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                if is_right:
                    collector._take(ExportTraceServiceRequest.FromString(body))

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Take)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def _take(self, request: ExportTraceServiceRequest):
        came = []
        for resource in request.resource_spans:
            service = values(resource.resource.attributes).get("service.name")
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                times = (span.start_time_unix_nano, span.end_time_unix_nano)
                came.append(Span(service, span.name, *ids, *times, values(span.attributes)))
        with self._news:
            self.spans += came
            self._news.notify_all()

    def wait(self, is_so, within: float = 20) -> list[Span]:
        """Waits until `is_so` of all spans so far, and gives them."""
        with self._news:
            if not self._news.wait_for(lambda: is_so(self.spans), within):
                raise AssertionError(f"not within {within} s; what came: {self.spans}")
            return list(self.spans)

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def values(attributes) -> dict:
    """Attributes by name; every value of a simple kind."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
