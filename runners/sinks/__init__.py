"""Sinks: programs that draw curves while they are measured, each behind `sink.Sink`."""
