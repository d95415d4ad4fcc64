"""Settings of a link to Redis."""

from twisted.trial.unittest import SynchronousTestCase

from imd.backend.redis_settings import RedisSettings


class RedisSettingsTests(SynchronousTestCase):
    """What is shown of them."""

    def test_no_password_is_shown(self) -> None:
        """A traceback or a log that shows the settings gives nothing away."""
        shown = repr(RedisSettings(password="hunter2", sentinel_password="hunter3"))
        self.assertNotIn("hunter", shown)

    def test_the_label_says_which_redis(self) -> None:
        """A host, a path, or a master's name."""
        self.assertEqual(RedisSettings(host="a", port=1).label, "redis at a:1")
        self.assertEqual(RedisSettings(path="/run/r").label, "redis at /run/r")
        by_sentinel = RedisSettings(sentinels=(("a", 1),), sentinel_master="main")
        self.assertEqual(by_sentinel.label, "redis main (by Sentinel)")
