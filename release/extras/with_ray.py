"""Extra ray: functions of this package sent to a cluster, which is started on this machine."""

from equipoise._core.text import width
from equipoise.studies.processes import on_ray

assert dict(on_ray("local", width, {"one": ("abc",), "two": ("平",)})) == {"one": 3, "two": 2}
