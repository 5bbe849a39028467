"""Extra tensorboard: event files of a training are read, without torch."""

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from equipoise.diagnosis.logs import read_log

writer = EventFileWriter("events")
for step in range(3):
    value = Summary.Value(tag="loss", simple_value=1 / (1 + step))
    writer.add_event(Event(step=step, summary=Summary(value=[value])))
writer.close()
assert [round(epoch["loss"], 3) for epoch in read_log("events")] == [1.0, 0.5, 0.333]
