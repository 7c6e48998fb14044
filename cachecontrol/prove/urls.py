from django.urls import path

from cachecontrol.prove import views

urlpatterns = [
    path("shelf/<int:pk>/", views.shelf),
    path("item/<int:pk>/", views.item),
    path("odd/<int:pk>/", views.odd),
    path("leave/", views.leave),
]
handler500 = views.broken
