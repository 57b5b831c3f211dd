/* A planted bug that chaos.sh has to catch: a signal between the look at a flag and the wait for it is lost, and the
 * program waits for ever. Without the preload that practically never happens. */
#include <glib.h>

static GMutex mutex;
static GCond changed;
static gboolean ready;

static gpointer get_ready(gpointer unused) {
  (void)unused;
  g_usleep(1000);
  g_mutex_lock(&mutex);
  ready = TRUE;
  g_cond_signal(&changed);
  g_mutex_unlock(&mutex);
  return NULL;
}

int main(void) {
  for (int round = 0; round < 200; round++) {
    ready = FALSE;
    GThread *thread = g_thread_new("ready", get_ready, NULL);
    g_mutex_lock(&mutex);
    gboolean waits = !ready;
    g_mutex_unlock(&mutex);
    /* Here it is lost. */
    g_mutex_lock(&mutex);
    if (waits) g_cond_wait(&changed, &mutex);
    g_mutex_unlock(&mutex);
    g_thread_join(thread);
  }
  return 0;
}
