"""Tests of `wsrelay.engine.client_effects`."""

from __future__ import annotations

from typing import get_args

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.sessions.effects import Effect
from wsrelay.engine.client_effects import ClientEffects


class ClientEffectsTests(SynchronousTestCase):
    """The table of what performs each effect."""

    def test_every_effect_is_performed(self) -> None:
        self.assertEqual(set(ClientEffects._PERFORMERS), set(get_args(Effect)))
