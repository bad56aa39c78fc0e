"""Connections to PostgreSQL that outlive the test that opened them: what is new to a connection costs it much."""

from dataclasses import dataclass, field

from homeserver.storage.postgresql import Counters, Link, PostgreSQLBackend, PostgreSQLReader, PostgreSQLWriter


class KeptWriter(PostgreSQLWriter):
    """A writer whose connections stay open for another test when it is closed."""

    is_open = True

    def open_again(self) -> "KeptWriter":
        """Be like a new one."""
        counters = Counters(self.link.dsn)
        counters.link = self.counters.link
        self.counters = self.transaction.counters = counters
        self.begin()
        self.position = self.transaction.log_position
        self.commit()
        self.is_open = True
        return self

    def close(self) -> None:
        """Let go of everything but the connections."""
        self.rollback()
        self.is_open = False

    @property
    def links(self) -> tuple[Link, ...]:
        """All that connect it."""
        return (self.link, self.counters.link)


class KeptReader(PostgreSQLReader):
    """A reader whose connection stays open for another test when it is closed."""

    is_open = True

    def open_again(self) -> "KeptReader":
        """Be like a new one."""
        self.is_open = True
        return self

    def close(self) -> None:
        """Let go of the snapshot, not of the connection."""
        self.end()
        self.is_open = False

    @property
    def links(self) -> tuple[Link, ...]:
        """All that connect it."""
        return (self.link,)


@dataclass(frozen=True, slots=True)
class KeptBackend(PostgreSQLBackend):
    """A database for one test after the other, to which the connections are kept."""

    writers: list[KeptWriter] = field(default_factory=list)
    readers: list[KeptReader] = field(default_factory=list)

    def __reduce__(self) -> tuple[type[PostgreSQLBackend], tuple[str]]:
        """What another process gets of it, as of any backend: it has connections of its own."""
        return PostgreSQLBackend, (self.dsn,)

    def open_writer(self) -> KeptWriter:
        """One that an earlier test has closed, or a new one."""
        for writer in self.writers:
            if not writer.is_open:
                return writer.open_again()
        self.writers.append(KeptWriter(self.dsn))
        return self.writers[-1]

    def open_reader(self) -> KeptReader:
        """One that an earlier test has closed, or a new one."""
        for reader in self.readers:
            if not reader.is_open:
                return reader.open_again()
        self.readers.append(KeptReader(self.dsn))
        return self.readers[-1]

    @property
    def _connected(self) -> list[KeptWriter | KeptReader]:
        return [*self.writers, *self.readers]

    def forget_open(self) -> None:
        """End those that a test has left open."""
        for each in self._connected:
            if each.is_open:
                for link in each.links:
                    link.close()
        self.writers[:] = [writer for writer in self.writers if not writer.is_open]
        self.readers[:] = [reader for reader in self.readers if not reader.is_open]

    @property
    def processes(self) -> list[int]:
        """What serves the connections."""
        links = (link for each in self._connected for link in each.links)
        return [link.connection.info.backend_pid for link in links if link.connection is not None and not link.is_lost]

    def end(self) -> None:
        """Close the connections."""
        for each in self._connected:
            for link in each.links:
                link.close()
