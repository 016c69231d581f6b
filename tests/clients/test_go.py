"""The SDK for Go (centrifuge-go), and a crowd of its clients."""

from __future__ import annotations

from tests.clients import scenarios
from tests.clients.scenarios import case
from tests.clients.sdk import GO

CROWD = 1000


class GoJSONTests(scenarios.Scenarios, case.ProgramCase):
    """With JSON."""

    sdk = GO
    encoding = "json"


class GoProtobufTests(scenarios.Scenarios, case.ProgramCase):
    """With Protobuf."""

    sdk = GO
    encoding = "protobuf"


class CrowdTests(case.ProgramCase):
    """A thousand clients that lose their relay at once."""

    sdk = GO
    encoding = "protobuf"

    def test_thousand_clients_return_at_once_and_miss_nothing(self) -> None:
        site, channel = self.own_site(), self.channel("kept")
        names = [f"client {number}" for number in range(CROWD)]
        for name in names:
            self.client.call("connect", name=name, url=site.url)
            self.client.call("subscribe", name=name, channel=channel, recoverable=True)
        record = self.client.record
        record.wait_for(CROWD, event="subscribed")
        site.add(channel, *range(5))
        record.wait_for(5 * CROWD, event="publication")
        site.relay.kill()
        site.add(channel, *range(5, 25))
        site.start_relay()
        back = record.wait_for(CROWD, event="subscribed", was_recovering=True)
        self.assertTrue(all(report["recovered"] for report in back))
        publications = record.wait_for(25 * CROWD, event="publication")
        received: dict[str, list[int]] = {name: [] for name in names}
        for report in publications:
            received[report["name"]].append(report["data"])
        self.assertEqual([name for name in names if received[name] != list(range(25))], [])
