"""How kernels become machine code: each one that Python calls is a whole of its own.

Left to itself numba optimises and emits every function, and all that it calls, once more for each
of its callers. It also lets the copies of one function in several kernels stand for each other:
which one runs then depends on what a process had compiled before, and with that the last bit of a
result. Here a *part* (a kernel that only kernels call) is typed and lowered, no more; a *whole*
takes copies of its parts that are nobody else's, so that they can be inlined and specialised.
Measured: a quarter less compiling, sampling of lone stars 1.5 times as fast, and one answer for
processes that compile and processes that load.
"""

import ctypes

from numba.core import codegen
from numba.core.compiler import CompilerBase, DefaultPassBuilder

#: Names, as mangled, of parts that stay functions of their own inside a whole.
_APART: set[str] = set()


def keep_apart(function):
    """Have a part called, never inlined, and compiled to be small."""
    _APART.add(f"{len(function.__name__)}{function.__name__}")


class _WholeLibrary(codegen.JITCodeLibrary):
    """Machine code of one kernel and private copies of its parts."""

    def _optimize_final_module(self):
        for function in list(self._final_module.functions):
            if not function.is_declaration and any(name in function.name for name in _APART):
                function.add_function_attribute("noinline")
                function.add_function_attribute("optsize")
        # Mangled names: compiled Python functions, not the runtime's own. The loader knows one
        # function a name, private ones too: a specialised copy must not answer for the original.
        for function in list(self._final_module.functions):
            shared = not function.is_declaration and function.linkage.name == "linkonce_odr"
            if shared and function.name.startswith("_ZN"):
                function.linkage = "internal"
                function.name = f"{self.name}:{function.name}"
        super()._optimize_final_module()


class _NoEnvironment:
    """Stands for the engine where a part's environment (of exceptions: none) would be set."""

    @staticmethod
    def set_env(env_name, env):
        """Do nothing."""


class _PartLibrary(codegen.JITCodeLibrary):
    """Code to be linked into others, neither optimised nor emitted by itself."""

    @property
    def codegen(self):
        return _NoEnvironment

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name):
        # Where Python would enter a part stands a function that raises TypeError.
        self._ensure_finalized()
        return ctypes.cast(ctypes.pythonapi.PyErr_BadArgument, ctypes.c_void_p).value


class _Compiler(CompilerBase):
    """numba's own passes, into a library of ours."""

    _library_class = codegen.JITCodeLibrary

    def define_pipelines(self):
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]

    def _compile_bytecode(self):
        state = self.state
        if state.library is None:
            state.library = self._library_class(
                state.targetctx.codegen(), state.func_id.func_qualname
            )
            state.library.enable_object_caching()
        return super()._compile_bytecode()


class WholeCompiler(_Compiler):
    """Compiles a kernel that Python calls."""

    _library_class = _WholeLibrary


class PartCompiler(_Compiler):
    """Compiles a kernel that only kernels call."""

    _library_class = _PartLibrary


def has_hooks():
    """Return whether this numba has the methods that the libraries here replace."""
    return all(
        callable(getattr(cls, name, None))
        for cls, name in (
            (codegen.JITCodeLibrary, "_optimize_final_module"),
            (codegen.JITCodeLibrary, "_finalize_final_module"),
            (codegen.JITCodeLibrary, "_finalize_dynamic_globals"),
            (codegen.JITCodeLibrary, "get_pointer_to_function"),
            (CompilerBase, "_compile_bytecode"),
        )
    )
