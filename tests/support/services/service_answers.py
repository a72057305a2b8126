"""What the in-memory services raise."""


class Killed(BaseException):
    """The process ends here, as when Lambda's time is up."""


class FakeServiceError(Exception):
    """An error as the service answers it."""

    def __init__(self, code: str, message: str = "", status: int = 400) -> None:
        super().__init__(code)
        self.code, self.message, self.status = code, message, status
