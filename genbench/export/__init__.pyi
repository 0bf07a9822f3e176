from .run import Exported, export

__all__ = ["Exported", "export"]
