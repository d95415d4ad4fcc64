"""Settings of ZooKeeper tell nobody the password."""

from twisted.trial.unittest import SynchronousTestCase

from imd.backend.zookeeper_settings import ZookeeperSettings


class ZookeeperSettingsTests(SynchronousTestCase):
    """A value."""

    def test_repr_holds_no_secret(self) -> None:
        """It may be logged."""
        self.assertEqual(repr(ZookeeperSettings(hosts="a:1", digest="imd:s3cret")), "ZookeeperSettings('a:1')")
