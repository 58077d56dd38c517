/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* A binary heap of slots. Each slot stores its place in the heap, so a removal
 * needs no search. */

#include "closing/closer_impl.h"

static apr_time_t due_at(const fw2_heap *heap, int place)
{
    return heap->held[heap->slots[place]].due;
}

static void put(fw2_heap *heap, int place, int slot)
{
    heap->slots[place] = slot;
    heap->held[slot].place = place;
}

static void rise(fw2_heap *heap, int place)
{
    int slot = heap->slots[place];

    while (place > 0 && due_at(heap, (place - 1) / 2) > heap->held[slot].due) {
        put(heap, place, heap->slots[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    put(heap, place, slot);
}

static void sink(fw2_heap *heap, int place)
{
    int slot = heap->slots[place];

    for (;;) {
        int child = 2 * place + 1;

        if (child + 1 < heap->n
            && due_at(heap, child + 1) < due_at(heap, child)) {
            child++;
        }
        if (child >= heap->n || due_at(heap, child) >= heap->held[slot].due) {
            break;
        }
        put(heap, place, heap->slots[child]);
        place = child;
    }
    put(heap, place, slot);
}

void fw2_heap_add(fw2_heap *heap, int slot)
{
    heap->slots[heap->n++] = slot;
    rise(heap, heap->n - 1);
}

void fw2_heap_move(fw2_heap *heap, int slot)
{
    rise(heap, heap->held[slot].place);
    sink(heap, heap->held[slot].place);
}

void fw2_heap_remove(fw2_heap *heap, int slot)
{
    int place = heap->held[slot].place;
    int last = heap->slots[--heap->n];

    if (last != slot) {
        put(heap, place, last);
        fw2_heap_move(heap, last);
    }
}
