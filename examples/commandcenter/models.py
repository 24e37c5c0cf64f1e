"""The application's tables."""

from sqlalchemy import ForeignKey, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from examples.commandcenter.settings import SYNC_DATABASE_URL


class Base(DeclarativeBase):
    pass


class Repository(Base):
    __tablename__ = "repositories"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    stars: Mapped[int] = mapped_column(default=0)
    syncs_requested: Mapped[int] = mapped_column(default=0)
    syncs_finished: Mapped[int] = mapped_column(default=0)
    commits: Mapped[list["Commit"]] = relationship(back_populates="repository")


class Commit(Base):
    __tablename__ = "commits"

    id: Mapped[int] = mapped_column(primary_key=True)
    repository_id: Mapped[int] = mapped_column(ForeignKey("repositories.id"), index=True)
    message: Mapped[str]
    repository: Mapped[Repository] = relationship(back_populates="commits")


def create_and_fill() -> None:
    engine = create_engine(SYNC_DATABASE_URL)
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        for number in range(1, 21):
            commits = [Commit(message=f"change {n}") for n in range(1, 6)]
            session.add(Repository(id=number, name=f"repository-{number}", stars=number * 10, commits=commits))
    engine.dispose()


if __name__ == "__main__":
    create_and_fill()
