//! What may change while a session runs.

use super::{Session, SessionOptions};
use crate::{Result, net::footage::Footage};

impl Session {
    /// Another number of outputs that share a run of the backward branch, from the next run on; `None` = the
    /// model's own. [`look_ahead`](Self::look_ahead) follows it.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) outside the range of [`SessionOptions::backward_group`]; nothing changes then.
    pub fn set_backward_group(&mut self, group: Option<usize>) -> Result<()> {
        let options = SessionOptions {
            backward_group: group,
            ..self.options.clone()
        };
        options.validate(self.network.config())?;
        self.options = options;
        Ok(())
    }

    /// Other zooms of the cameras, from the next frame on; see [`SessionOptions::wide_zoom`]. Where one
    /// changes, the registered variant looks for that camera anew.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) outside the range of the options; nothing changes then.
    pub fn set_zooms(&mut self, wide: f64, tele: f64) -> Result<()> {
        let options = SessionOptions {
            wide_zoom: wide,
            tele_zoom: tele,
            ..self.options.clone()
        };
        options.validate(self.network.config())?;
        let (new_wide, new_tele) = (
            wide != self.options.wide_zoom,
            tele != self.options.tele_zoom,
        );
        for followers in self.clip.all_followers() {
            let fresh = options.followers();
            if new_wide {
                followers.wide = fresh.wide;
            }
            if new_tele {
                followers.tele = fresh.tele;
            }
        }
        self.options = options;
        Ok(())
    }

    /// Another kind of footage, from the next clip on; see [`SessionOptions::footage`].
    pub fn set_footage(&mut self, footage: Footage) {
        self.options.footage = footage;
    }

    /// Starts a clip where another session of the same options saw the wide and the tele camera last, in place of
    /// looking for them anew. Nothing changes where this session has looked for them already, or is told other
    /// zooms.
    pub fn begin_with_cameras_of(&mut self, other: &mut Self) {
        let zooms = |options: &SessionOptions| (options.wide_zoom, options.tele_zoom);
        if self.clip.followers.is_none() && zooms(&self.options) == zooms(&other.options) {
            self.clip.followers = other.clip.followers.take();
        }
    }
}
