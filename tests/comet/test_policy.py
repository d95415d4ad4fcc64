"""The names of policies."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.policy import SlowPolicy


class SlowPolicyTests(SynchronousTestCase):
    """What a configuration may say."""

    def test_names(self) -> None:
        """A value is what operators write."""
        self.assertEqual([policy.value for policy in SlowPolicy], ["disconnect", "drop_oldest", "latest_only"])
        self.assertIs(SlowPolicy("latest_only"), SlowPolicy.LATEST_ONLY)
