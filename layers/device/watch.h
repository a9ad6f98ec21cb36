// Pointers that take notes: which thread reads and writes which element of a kernel's arrays. See watch.py.

struct Note { int block, thread, array, write; long long element; };
static Note *notes;
static long long noted, room;

static void note(int array, long long element, int write)
{
    if (array >= 0 && noted++ < room)
        notes[noted - 1] = {blockIdx.x, threadIdx.x, array, write, element};
}

extern "C" void take_notes(Note *where, long long most) { notes = where, room = most, noted = 0; }
extern "C" long long count_notes() { return noted; }

template <class T> struct Place { // an element that may be written
    T *at;
    int array;
    long long element;
    operator T() const { return note(array, element, 0), *at; }
    Place &operator=(T value) { return note(array, element, 1), *at = value, *this; }
    Place &operator=(const Place &other) { return *this = (T)other; }
    Place &operator+=(T value) { return *this = (T)*this + value; }
    Place &operator-=(T value) { return *this = (T)*this - value; }
    Place &operator*=(T value) { return *this = (T)*this * value; }
    Place &operator/=(T value) { return *this = (T)*this / value; }
};

template <class T> struct Watched { // T *
    T *at;
    int array;
    long long element;
    Watched(T *at, int array = -1, long long element = 0) : at(at), array(array), element(element) {}
    Place<T> operator[](long long k) const { return {at + k, array, element + k}; }
    Place<T> operator*() const { return (*this)[0]; }
    Watched operator+(long long k) const { return {at + k, array, element + k}; }
    Watched operator-(long long k) const { return *this + -k; }
    Watched &operator+=(long long k) { return *this = *this + k; }
    Watched &operator-=(long long k) { return *this = *this + -k; }
};

template <class T> struct Watched<const T> { // const T *
    const T *at;
    int array;
    long long element;
    Watched(const T *at, int array = -1, long long element = 0) : at(at), array(array), element(element) {}
    Watched(const Watched<T> &other) : at(other.at), array(other.array), element(other.element) {}
    T operator[](long long k) const { return note(array, element + k, 0), at[k]; }
    T operator*() const { return (*this)[0]; }
    Watched operator+(long long k) const { return {at + k, array, element + k}; }
    Watched operator-(long long k) const { return *this + -k; }
    Watched &operator+=(long long k) { return *this = *this + k; }
    Watched &operator-=(long long k) { return *this = *this + -k; }
};

template <class T> static T max(const Place<T> &a, T b) { return max((T)a, b); }
template <class T> static T max(T a, const Place<T> &b) { return max(a, (T)b); }
template <class T> static T min(const Place<T> &a, T b) { return min((T)a, b); }
template <class T> static T min(T a, const Place<T> &b) { return min(a, (T)b); }
