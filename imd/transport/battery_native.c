/* The module imd.transport._battery: what sends the same bytes to very many sockets without Python between two of them.
   What its types promise stands in _battery.pyi, and for all batteries in imd/interfaces.py. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>

#include "battery_native_ring.h"

enum { FEW = 4 }; /* below it, send() costs less than the ring */

typedef struct {
    PyObject_HEAD
    struct ring ring;
} Ring;

typedef struct {
    PyObject_HEAD
    Ring *ring; /* NULL = by send() alone */
    Py_ssize_t count;
    int *fds;
} Battery;

typedef struct {
    PyTypeObject *ring_type;
} State;

/* --- Ring ---------------------------------------------------------------------------------------------------------------------- */

static PyObject *ring_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, keywords, ":Ring", names))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Ring *self = (Ring *)allocate(type, 0);
    if (self)
        self->ring = RING_UNOPENED;
    return (PyObject *)self;
}

static void ring_dealloc(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    ring_close(&((Ring *)object)->ring);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyObject *ring_open_now(PyObject *object, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(ring_ready(&((Ring *)object)->ring));
}

static PyObject *ring_trouble(PyObject *object, void *unused) {
    int error = ((Ring *)object)->ring.error;
    (void)unused;
    return error ? PyUnicode_FromString(strerror(error)) : Py_NewRef(Py_None);
}

static PyMethodDef ring_methods[] = {
    {"open", ring_open_now, METH_NOARGS, "Whether this thread can send through it; opens it when nobody has."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef ring_attributes[] = {
    {"trouble", ring_trouble, NULL, "Why it cannot be used; None while it can, or nobody has tried.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot ring_slots[] = {
    {Py_tp_doc, "An io_uring. Belongs to the thread that first sends through it."},
    {Py_tp_new, ring_new},
    {Py_tp_dealloc, ring_dealloc},
    {Py_tp_methods, ring_methods},
    {Py_tp_getset, ring_attributes},
    {0, NULL},
};

static PyType_Spec ring_spec = {
    .name = "imd.transport._battery.Ring",
    .basicsize = sizeof(Ring),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = ring_slots,
};

/* --- Battery ------------------------------------------------------------------------------------------------------------------- */

/* The sink's descriptor. -1 stays -1: send() refuses it as it refuses every closed one. -2 = an exception was raised. */
static int descriptor_of(PyObject *sink, PyObject *fileno) {
    PyObject *answer = PyObject_CallMethodObjArgs(sink, fileno, NULL);
    if (!answer)
        return -2;
    long number = PyLong_AsLong(answer);
    Py_DECREF(answer);
    if (number == -1 && PyErr_Occurred())
        return -2;
    if (number < -1 || number > INT_MAX) {
        PyErr_Format(PyExc_ValueError, "%ld is no descriptor", number);
        return -2;
    }
    return (int)number;
}

static int take_descriptors(Battery *self, PyObject *sinks) {
    PyObject *fileno = PyUnicode_InternFromString("fileno");
    PyObject *all = PySequence_Tuple(sinks); /* of its own: a fileno() may change the caller's */
    int failed = -1;
    if (!fileno || !all)
        goto end;
    self->count = PyTuple_Size(all);
    self->fds = PyMem_Malloc(self->count * sizeof *self->fds);
    if (!self->fds) {
        PyErr_NoMemory();
        goto end;
    }
    for (Py_ssize_t at = 0; at < self->count; at++) {
        self->fds[at] = descriptor_of(PyTuple_GetItem(all, at), fileno);
        if (self->fds[at] == -2)
            goto end;
    }
    failed = 0;
end:
    Py_XDECREF(fileno);
    Py_XDECREF(all);
    return failed;
}

static PyObject *battery_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    static char *names[] = {"sinks", "ring", NULL};
    PyObject *sinks, *ring = Py_None;
    State *state = PyType_GetModuleState(type);
    if (!state || !PyArg_ParseTupleAndKeywords(args, keywords, "O|O:Battery", names, &sinks, &ring))
        return NULL;
    if (ring != Py_None && Py_TYPE(ring) != state->ring_type) {
        PyErr_SetString(PyExc_TypeError, "ring must be a Ring or None");
        return NULL;
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Battery *self = (Battery *)allocate(type, 0);
    if (!self)
        return NULL;
    self->ring = ring == Py_None ? NULL : (Ring *)Py_NewRef(ring);
    if (take_descriptors(self, sinks)) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void battery_dealloc(PyObject *object) {
    Battery *self = (Battery *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyMem_Free(self->fds);
    Py_XDECREF((PyObject *)self->ring);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

/* Without the GIL. The kernel takes less than 2 GiB at once, so what it took is an int. */
static void send_to_each(const int *fds, Py_ssize_t count, const void *data, size_t size, int *taken) {
    for (Py_ssize_t at = 0; at < count; at++) {
        ssize_t took;
        do
            took = send(fds[at], data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (took < 0 && errno == EINTR);
        taken[at] = took > 0 ? (int)took : 0;
    }
}

static PyObject *shorts_of(const int *taken, Py_ssize_t count, Py_ssize_t size) {
    PyObject *shorts = PyList_New(0);
    for (Py_ssize_t at = 0; shorts && at < count; at++) {
        if (taken[at] == size)
            continue;
        PyObject *pair = Py_BuildValue("ni", at, taken[at]);
        if (!pair || PyList_Append(shorts, pair))
            Py_CLEAR(shorts);
        Py_XDECREF(pair);
    }
    return shorts;
}

/* NULL = send() will do, or must. */
static struct ring *ring_for(const Battery *self, Py_ssize_t size) {
    bool wanted = self->ring && self->count >= FEW && size <= INT_MAX;
    return wanted && ring_ready(&self->ring->ring) ? &self->ring->ring : NULL;
}

static PyObject *battery_fire(PyObject *object, PyObject *argument) {
    Battery *self = (Battery *)object;
    Py_buffer data;
    if (PyObject_GetBuffer(argument, &data, PyBUF_SIMPLE))
        return NULL;
    int *taken = PyMem_Malloc(self->count * sizeof *taken);
    if (!taken) {
        PyBuffer_Release(&data);
        return PyErr_NoMemory();
    }
    struct ring *ring = ring_for(self, data.len);
    Py_BEGIN_ALLOW_THREADS
    size_t done = ring ? ring_send(ring, self->fds, self->count, data.buf, data.len, taken) : 0;
    send_to_each(self->fds + done, self->count - done, data.buf, data.len, taken + done);
    Py_END_ALLOW_THREADS
    PyObject *shorts = shorts_of(taken, self->count, data.len);
    PyMem_Free(taken);
    PyBuffer_Release(&data);
    return shorts;
}

static PyMethodDef battery_methods[] = {
    {"fire", battery_fire, METH_O, "Send to each; [(place, taken)] of those that did not take all."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot battery_slots[] = {
    {Py_tp_doc, "Descriptors that get the same bytes. Keeps no sink alive, and learns nothing of a close."},
    {Py_tp_new, battery_new},
    {Py_tp_dealloc, battery_dealloc},
    {Py_tp_methods, battery_methods},
    {0, NULL},
};

static PyType_Spec battery_spec = {
    .name = "imd.transport._battery.Battery",
    .basicsize = sizeof(Battery),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = battery_slots,
};

/* --- the module ---------------------------------------------------------------------------------------------------------------- */

static int add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **kept) {
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    int failed = !type || PyModule_AddType(module, (PyTypeObject *)type);
    if (!failed && kept)
        *kept = (PyTypeObject *)Py_NewRef(type);
    Py_XDECREF(type);
    return failed ? -1 : 0;
}

static int fill(PyObject *module) {
    State *state = PyModule_GetState(module);
    return add_type(module, &ring_spec, &state->ring_type) || add_type(module, &battery_spec, NULL) ? -1 : 0;
}

static int visit(PyObject *module, visitproc visit, void *arg) {
    State *state = PyModule_GetState(module);
    Py_VISIT(state->ring_type);
    return 0;
}

static int clear(PyObject *module) {
    State *state = PyModule_GetState(module);
    Py_CLEAR(state->ring_type);
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, fill},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "imd.transport._battery",
    .m_doc = "Many sends in C.",
    .m_size = sizeof(State),
    .m_slots = slots,
    .m_traverse = visit,
    .m_clear = clear,
};

PyMODINIT_FUNC PyInit__battery(void) {
    return PyModuleDef_Init(&definition);
}
