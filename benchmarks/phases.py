"""The steps of an estimator, ready to be made one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def started(model, X, **fit_params) -> tuple[Any, list[tuple[Callable, dict]]]:
    """Net of a model as it stands before the first step; its phases' steps and plans.

    A phase is not run; what the method does between phases is.
    """
    phases, nets = [], []
    train = model._train

    def prepare(net):
        nets.append(net)
        net.run = lambda step, **plan: phases.append((step, plan))
        train(net)

    model._train = prepare
    model.fit(X, **fit_params)
    del model._train
    nets[0]._set_training(True)
    return nets[0], phases
