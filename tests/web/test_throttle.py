"""How often work is done that comes often."""

from __future__ import annotations

from typing import Any


def test_of_the_tasks_that_come_in_a_pause_only_the_last_runs(opened: Any) -> None:
    done = opened().evaluate(
        """async () => {
          const { Throttle } = await import('/web/js/throttle.js');
          const done = [];
          const throttle = new Throttle(50);
          const rest = () => new Promise((resolve) => setTimeout(resolve, 300));
          for (const name of ['at once', 'overtaken', 'when the pause is over']) throttle.run(() => done.push(name));
          done.push('meanwhile');
          await rest();
          for (const name of ['again at once', 'at the end']) throttle.run(() => done.push(name));
          throttle.flush();
          for (const name of ['anew', 'dropped']) throttle.run(() => done.push(name));
          throttle.cancel();
          await rest();
          return done;
        }"""
    )
    assert done == ["at once", "meanwhile", "when the pause is over", "again at once", "at the end", "anew"]
