"""Kills for want of memory, as the system counts them."""

from __future__ import annotations

from flytelite.engine.tasks import memory


def test_kills_since_the_last_look(tmp_path, monkeypatch):
    counters = tmp_path / "vmstat"
    monkeypatch.setattr(memory, "VMSTAT", counters)
    counters.write_text("nr_free_pages 7\noom_kill 2\ndrop_pagecache 0\n")
    watch = memory.MemoryWatch()
    assert not watch.ran_out()
    counters.write_text("oom_kill 3\n")
    assert watch.ran_out()
    assert not watch.ran_out()


def test_a_system_that_does_not_count(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "VMSTAT", tmp_path / "none")
    assert memory.kills() == 0
