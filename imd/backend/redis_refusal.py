"""An error that Redis answered, in words for operators."""

from imd.errors import Unavailable

_WORDS = {
    "NOAUTH": "it wants a password, and none is configured",
    "WRONGPASS": "it refuses the user name or password",
    "NOPERM": "its user has no permission for this command or key",
    "LOADING": "it is still loading its data",
    "READONLY": "it is a read-only replica",
    "MASTERDOWN": "it is a replica without its master",
    "NOREPLICAS": "it has too few replicas to accept writes",
    "MISCONF": "it cannot save to its disk and accepts no writes",
    "OOM": "it has reached its memory limit",
    "BUSY": "it is busy running a script",
    "WRONGTYPE": "a key holds something that is not imd's: another prefix would be right",
    "MOVED": "it is a Redis Cluster, which is not supported",
    "ASK": "it is a Redis Cluster, which is not supported",
    "CLUSTERDOWN": "it is a Redis Cluster, which is not supported",
}

_PHRASES = {
    "without any password": "a password is configured here, but it has none",
    "no password is set": "a password is configured here, but it has none",
    "max number of clients": "it has reached its limit of clients",
    "DB index": "it has no such db",
}

MAX_WORDS = 200  # of an error that is not in the tables; it goes into logs


class RedisRefusal(Unavailable):
    """Redis answered with an error: the call was not done, unless a script had begun to write.

    ``word`` is the error's first one, as Redis documents it: ``NOSCRIPT``, ``READONLY``, mostly ``ERR``.
    """

    def __init__(self, label: str, answer: str) -> None:
        self.word = answer.partition(" ")[0]
        super().__init__(f"{label}: {_explain(self.word, answer)}")


def _explain(word: str, answer: str) -> str:
    if word in _WORDS:
        return _WORDS[word]
    for phrase, words in _PHRASES.items():
        if phrase in answer:
            return words
    # Redis repeats the arguments of a command that it does not know: they may be anybody's business.
    return answer.partition(", with args beginning with")[0][:MAX_WORDS]
